//! Supplier risk: the probability that what was promised comes late, and by how much.
//!
//! [`purchase`] judges a line of a purchase order from what supplier, lane, mode and season did before; [`shipment`]
//! judges a transport on its way from the milestones it has passed. The two know different facts and answer at
//! different times, so each is a [`Judge`](crate::Judge) of its own.

pub mod purchase;
pub mod shipment;
