pub(in crate::tasks) mod notes;
pub(in crate::tasks) mod synthetic;
