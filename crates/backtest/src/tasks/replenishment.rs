pub(in crate::tasks) mod backorder;
pub(in crate::tasks) mod leadtime;
pub(in crate::tasks) mod parts;
pub(in crate::tasks) mod priority;
