//! What callers may send on purpose: requests made up from the OpenAPI documents, and bytes that no client would send.

mod documents;
mod fortress;
mod sockets;
