//! Charging apps: what pays for a task, and what is told of it.

use super::{Payer, Payment};
use crate::{
	apps::App,
	coordinator::{internal, Coordinator, Result},
	store::{Short, TakenVoucher},
};
use cuckoo_chain_client::Channel;
use cuckoo_coordinator_api::{
	error::{ApiError, ErrorCode},
	payment::{AccountStatus, ChannelPayment, ChannelStatus},
	Amount,
};
use cuckoo_primitives::{
	signing,
	voucher::{ChannelId, ChannelVoucher},
};

/// What pays for a task, and the voucher if a channel does.
pub(crate) type Paying = (Option<Payment>, Option<Box<TakenVoucher>>);

impl Coordinator {
	/// What pays for a task of this price: the channel whose voucher came with it, or the app's balance.
	/// Whether that suffices the store says, in the transaction that accepts the task.
	pub(crate) async fn paying(
		&self,
		app: &App,
		price: Amount,
		offered: Option<ChannelPayment>,
	) -> Result<Paying> {
		if price.0 == 0 {
			if app.id.is_account() {
				// A channel stands in for a key where it pays.
				let message =
					"This coordinator takes tasks that cost nothing only with an API key.";
				return Err(ApiError::with_message(ErrorCode::ApiKeyInvalid, message));
			}
			return Ok((None, None));
		}
		let (payer, voucher) = match offered {
			Some(offered) => {
				let channel = Payer::Channel(offered.channel);
				(channel, Some(Box::new(self.voucher_taken(offered).await?)))
			},
			None if !app.id.has_key() => {
				let message = format!(
					"The task costs {price}, and nothing pays for it: send a channel's voucher with it, or \
					 an API key whose app has a balance."
				);
				let error = ApiError::with_message(ErrorCode::PaymentRequired, message);
				return Err(error.about(format!("price={}", price.0)));
			},
			None => (Payer::Account(app.id.as_str().to_owned()), None),
		};
		let facts = self.ledger().facts();
		let facts = facts.ok_or(ErrorCode::ChainUnavailable)?;
		let pay = Amount(facts.split.miners_part(price.0));
		Ok((Some(Payment { payer, pay }), voucher))
	}

	/// A voucher, with what the chain says of its channel. What it pays for is not looked at.
	async fn voucher_taken(&self, offered: ChannelPayment) -> Result<TakenVoucher> {
		let (channel, voucher) = self.signed_by_channel(&offered).await?;
		Ok(TakenVoucher {
			voucher,
			signature: offered.signature,
			deposit: channel.deposit,
			redeemed: channel.redeemed,
		})
	}

	/// The channel whose key has signed this voucher. A channel that is closing signs for nothing more.
	pub(crate) async fn signed_by_channel(
		&self,
		offered: &ChannelPayment,
	) -> Result<(Channel, ChannelVoucher)> {
		let identity = self.identity()?;
		let channel = self.own_channel(offered.channel).await?;
		if channel.closing.is_some() {
			let message = "The channel is closing: it pays for no more tasks.";
			let error = ApiError::with_message(ErrorCode::ChannelNotFound, message);
			return Err(error.about(offered.channel));
		}
		let voucher = offered.voucher(identity.operator.clone());
		let (genesis, signature) = (&identity.genesis, &offered.signature);
		if !signing::verify(genesis, &voucher, signature, &channel.signer) {
			let message = "The voucher is not signed by the channel's key.";
			let error = ApiError::with_message(ErrorCode::PaymentInvalid, message);
			return Err(error.about("payment"));
		}
		Ok((channel, voucher))
	}

	/// A channel to this coordinator, as of the last finalized block.
	async fn own_channel(&self, number: ChannelId) -> Result<Channel> {
		let identity = self.identity()?;
		let found = self.ledger().channel(number).await?;
		found
			.filter(|channel| channel.coordinator == identity.operator)
			.ok_or_else(|| ApiError::new(ErrorCode::ChannelNotFound).about(number))
	}

	/// What is known of a channel to this coordinator.
	pub async fn channel_status(&self, number: ChannelId) -> Result<ChannelStatus> {
		let channel = self.own_channel(number).await?;
		let row = self.store().channel(number).await.map_err(internal)?;
		let (highest, spent) = row.map_or((channel.redeemed, channel.redeemed), |row| {
			(row.purse.paid_in, row.purse.committed())
		});
		Ok(ChannelStatus {
			channel: number,
			deposit: Amount(channel.deposit),
			highest: Amount(highest),
			spent: Amount(spent),
			redeemed: Amount(channel.redeemed),
			closing: channel.closing.is_some(),
		})
	}

	/// The money of an app with an API key.
	pub async fn account_status(&self, app: &App) -> Result<AccountStatus> {
		if !app.id.has_key() {
			let message = "An app without an API key has no balance.";
			return Err(ApiError::with_message(ErrorCode::ApiKeyInvalid, message));
		}
		let purse = self.store().balance(app.id.as_str()).await;
		Ok(purse.map_err(internal)?.into())
	}
}

/// Why a task's price was not held, as the app is told it.
pub(crate) fn refused(short: Short) -> ApiError {
	match short {
		Short::Balance { available, price } => {
			let (has, costs) = (Amount(available), Amount(price));
			let message = format!("The task costs {costs}, and the balance is {has}.");
			let subject = format!("balance={available} price={price}");
			ApiError::with_message(ErrorCode::BalanceTooLow, message).about(subject)
		},
		Short::Voucher {
			fault,
			due,
			deposit,
		} => {
			let message = format!(
				"The channel's voucher must be over {} in all, and it holds {}: {fault}.",
				Amount(due),
				Amount(deposit),
			);
			let subject = format!("due={due} deposit={deposit}");
			ApiError::with_message(ErrorCode::PaymentInvalid, message).about(subject)
		},
	}
}
