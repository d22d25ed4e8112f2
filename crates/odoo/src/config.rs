use std::time::Duration;

use secrecy::SecretString;

/// Where an Odoo is and how it may be used.
#[derive(Clone, Debug)]
pub struct OdooConfig {
    /// Scheme, host and port, with a path only when a proxy adds one: `https://erp.example.com`.
    pub base_url: String,
    /// Name of the database. Always sent: a server with several databases answers 404 without it.
    pub database: String,
    /// Login of the bot user. Needed by JSON-RPC only; JSON-2 knows the user from the key.
    pub login: Option<String>,
    /// API key of the bot user. On 18 and later keys of ordinary users expire after 90 days at most.
    pub api_key: SecretString,
    /// For one call, from the turn in the queue to the last byte of the answer.
    pub timeout: Duration,
    /// Calls per second over all clones of the client, evenly spaced. Odoo's own hosting publishes no limit;
    /// integrators settle on 1 per second and database there.
    pub max_calls_per_second: f64,
    pub transport: TransportChoice,
}

/// Which of the two remote interfaces to speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TransportChoice {
    /// JSON-2 from Odoo 19 on, JSON-RPC before.
    #[default]
    Auto,
    Json2,
    JsonRpc,
}
