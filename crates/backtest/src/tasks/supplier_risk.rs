pub(in crate::tasks) mod cargo;
pub(in crate::tasks) mod scms;
