pub(in crate::tasks) mod backorder;
mod cases;
pub(in crate::tasks) mod leadtime;
pub(in crate::tasks) mod parts;
pub(in crate::tasks) mod priority;
