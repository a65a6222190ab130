//! How tasks are paid: an app's vouchers to the coordinator, the coordinator's to a miner, and the proof
//! that an era was settled. What these are worth on chain is in `docs/settlement.md`.

use crate::Amount;
use cuckoo_primitives::{
	sum_tree::{Leaf, PlacedLeaf, Proof, Root},
	voucher::{ChannelId, ChannelVoucher, MinerVoucher},
	weight_tree::Node,
	AccountId, EraIndex, WorkerId, WorkerSignature, H256,
};
use serde::{Deserialize, Serialize};

/// An app pays for a task through its channel: the voucher over all that it has paid so far, with this
/// task. See [`ChannelVoucher`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelPayment {
	/// The channel.
	pub channel: ChannelId,
	/// All that was paid through it, this task included.
	pub cumulative: Amount,
	/// By the channel's key over the [`ChannelVoucher`].
	#[serde(with = "crate::signature")]
	pub signature: WorkerSignature,
}

impl ChannelPayment {
	/// What was signed, if it was for this coordinator.
	pub fn voucher(&self, coordinator: AccountId) -> ChannelVoucher {
		ChannelVoucher {
			coordinator,
			channel: self.channel,
			cumulative: self.cumulative.0,
		}
	}
}

/// What the coordinator knows of a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelStatus {
	/// The channel.
	pub channel: ChannelId,
	/// What the app has put into it, by the last finalized block.
	pub deposit: Amount,
	/// The highest voucher that was taken.
	pub highest: Amount,
	/// What tasks have cost that were paid through it, those that have not ended included. What was paid
	/// for a task that came to nothing is here no longer: the next tasks use it up.
	pub spent: Amount,
	/// What was redeemed of it, by the last finalized block.
	pub redeemed: Amount,
	/// Whether the app is closing it: it pays for no more tasks then.
	pub closing: bool,
}

/// The money of an app that pays by its API key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountStatus {
	/// What it can still spend.
	pub balance: Amount,
	/// What is set aside for its tasks that have not ended.
	pub held: Amount,
	/// What its tasks that are done have cost.
	pub spent: Amount,
}

/// What the coordinator owes a miner for an era, signed. See [`MinerVoucher`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedVoucher {
	/// The coordinator's operator account.
	pub coordinator: AccountId,
	/// The miner's operator account.
	pub miner: AccountId,
	/// The chain's era that it counts for.
	pub era: EraIndex,
	/// All that the miner has earned in it.
	pub cumulative: Amount,
	/// The coordinator's worker.
	pub worker: WorkerId,
	/// By that worker over the [`MinerVoucher`].
	#[serde(with = "crate::signature")]
	pub signature: WorkerSignature,
}

impl SignedVoucher {
	/// What was signed.
	pub fn voucher(&self) -> MinerVoucher {
		MinerVoucher {
			coordinator: self.coordinator.clone(),
			miner: self.miner.clone(),
			era: self.era,
			cumulative: self.cumulative.0,
		}
	}
}

/// That a miner has its place in the tree of a settled era, or none: what the chain's `claim` and
/// `report_short` take. See [`cuckoo_primitives::sum_tree`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettlementProof {
	/// The coordinator's operator account.
	pub coordinator: AccountId,
	/// The era.
	pub era: EraIndex,
	/// The tree's topmost node.
	pub root: ProofNode,
	/// How many leaves the tree has.
	pub count: u32,
	/// The miner's leaf, or the two between which it would stand.
	pub leaves: Vec<ProvenLeaf>,
	/// The nodes beside the paths, in the order in which the proof takes them.
	pub siblings: Vec<ProofNode>,
}

/// A leaf in its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvenLeaf {
	/// Its index from 0.
	pub index: u32,
	/// The miner's operator account.
	pub miner: AccountId,
	/// What it is owed.
	pub amount: Amount,
}

/// A node of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofNode {
	/// Its hash.
	pub hash: H256,
	/// The sum of what is below it.
	pub sum: Amount,
}

impl From<Node> for ProofNode {
	fn from(node: Node) -> Self {
		Self {
			hash: node.hash,
			sum: Amount(node.sum),
		}
	}
}

impl From<ProofNode> for Node {
	fn from(node: ProofNode) -> Self {
		Self {
			hash: node.hash,
			sum: node.sum.0,
		}
	}
}

impl SettlementProof {
	/// The proof as it travels.
	pub fn new(coordinator: AccountId, era: EraIndex, root: Root, proof: Proof) -> Self {
		let leaf = |placed: PlacedLeaf| ProvenLeaf {
			index: placed.index,
			miner: placed.leaf.miner,
			amount: Amount(placed.leaf.amount),
		};
		Self {
			coordinator,
			era,
			root: root.node.into(),
			count: root.leaves,
			leaves: proof.leaves.into_iter().map(leaf).collect(),
			siblings: proof.siblings.into_iter().map(ProofNode::from).collect(),
		}
	}

	/// What the coordinator says that it has posted.
	pub fn root(&self) -> Root {
		Root {
			node: self.root.into(),
			leaves: self.count,
		}
	}

	/// The proof as the chain takes it.
	pub fn proof(&self) -> Proof {
		let leaf = |proven: &ProvenLeaf| PlacedLeaf {
			index: proven.index,
			leaf: Leaf {
				miner: proven.miner.clone(),
				amount: proven.amount.0,
			},
		};
		Proof {
			leaves: self.leaves.iter().map(leaf).collect(),
			siblings: self.siblings.iter().copied().map(Node::from).collect(),
		}
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use cuckoo_primitives::sum_tree::{self, SumTree};

	fn account(number: u8) -> AccountId {
		AccountId::new([number; 32])
	}

	#[test]
	fn a_proof_travels_as_json_and_still_proves() {
		let context = sum_tree::context(&H256::repeat_byte(1), &account(9), 7);
		let leaf = |number: u8| Leaf {
			miner: account(number),
			amount: u128::MAX / 8,
		};
		let tree = SumTree::new(&context, vec![leaf(1), leaf(3), leaf(5)]).unwrap();
		let proof = tree.prove_miner(&account(3)).unwrap();
		let sent = SettlementProof::new(account(9), 7, tree.root(), proof.clone());
		let json = serde_json::to_string(&sent).unwrap();
		let received: SettlementProof = serde_json::from_str(&json).unwrap();
		assert_eq!(received, sent);
		assert_eq!(received.proof(), proof);
		let Proof { leaves, siblings } = received.proof();
		assert!(sum_tree::verify(
			&received.root(),
			&context,
			&leaves,
			&siblings
		));
	}
}
