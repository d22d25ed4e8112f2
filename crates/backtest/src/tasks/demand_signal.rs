pub(in crate::tasks) mod level;
pub(in crate::tasks) mod nab;
pub(in crate::tasks) mod promo;
pub(in crate::tasks) mod recovery;
pub(in crate::tasks) mod stockout;

/// The files' discount is the price as share of the list price, 0 where it is unknown.
fn price(discount: f64) -> f64 {
    if discount > 0.0 { discount } else { 1.0 }
}
