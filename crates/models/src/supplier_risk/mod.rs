//! Supplier risk: the probability that a purchase line or a transport is late, and by how much.
