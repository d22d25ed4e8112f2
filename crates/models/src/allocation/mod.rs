//! Allocation support: transfers and reservations of constrained supply.
