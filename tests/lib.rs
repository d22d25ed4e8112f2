//! The ground of the end-to-end tests: the fleet as processes of its own, beside real servers and a real n8n.

pub mod bed;
