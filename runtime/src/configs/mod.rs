//! The configuration of every pallet, by topic.

mod accounts;
mod consensus;
mod payment;
mod settlement;
mod staking;
mod system;

pub use accounts::ProxyType;
pub use consensus::MaxSetIdSessionEntries;
pub use payment::{BurnFeeTipAuthor, FeeMultiplierUpdate, WeightFee};
pub use settlement::AuditFundAccount;
pub use system::{RuntimeBlockLength, RuntimeBlockWeights};
