pub(in crate::tasks) mod brunel;
pub(in crate::tasks) mod transfer;
