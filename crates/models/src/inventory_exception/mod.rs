//! Inventory exception: the likely cause of a count variance, or none.
