pub(in crate::tasks) mod level;
pub(in crate::tasks) mod nab;
pub(in crate::tasks) mod promo;
pub(in crate::tasks) mod recovery;
pub(in crate::tasks) mod stockout;
