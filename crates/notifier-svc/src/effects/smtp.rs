//! One mail to one recipient. SMTP cannot be asked whether it has taken a mail before, so an attempt whose end was not
//! recorded is repeated with the same Message-ID, by which mail programs can fold the two.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use async_trait::async_trait;
use chassis::prelude::*;
use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{
        Mailbox,
        header::{ContentType, Header, HeaderName, HeaderValue},
    },
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::{Host, Url};

use crate::{settings::SmtpSettings, store::messages};

pub(crate) const SMTP: &str = "smtp";

/// For each reply of the server. With connection, log-in and delivery it stays within the executor's 15 s in practice.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);

/// Payload of the effect.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Mail {
    pub message: String,
    pub recipient: String,
    pub name: String,
    pub address: String,
    pub subject: String,
    pub body: String,
    /// `approval:...`, when an event of an approval asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
}

/// Where mail goes.
#[derive(Clone, Debug)]
pub(crate) enum MailRoute {
    /// One `.eml` file per mail: a laptop without a mail server.
    Folder(PathBuf),
    Server(SecretString),
}

impl MailRoute {
    /// `file:///folder`, `smtp://[user:password@]host[:port]` or `smtps://...`. Without TLS only to this machine:
    /// elsewhere `smtp` means STARTTLS, and no mail when the server does not offer it.
    pub(crate) fn parse(url: &SecretString) -> Result<Self, String> {
        // The URL may hold a password, so no message repeats it.
        let mut url = Url::parse(url.expose_secret()).map_err(|error| format!("is not a URL ({error})"))?;
        match url.scheme() {
            "file" => Ok(Self::Folder(url.to_file_path().map_err(|()| "must be file:///absolute/folder".to_owned())?)),
            "smtp" | "smtps" => {
                let local = match url.host() {
                    Some(Host::Domain(name)) => name == "localhost" || is_loopback(name),
                    Some(Host::Ipv4(ip)) => ip.is_loopback(),
                    Some(Host::Ipv6(ip)) => ip.is_loopback(),
                    None => return Err("has no host".to_owned()),
                };
                if url.query_pairs().any(|(key, value)| key != "tls" || value != "required") {
                    return Err("may have no parameter but tls=required".to_owned());
                }
                if url.scheme() == "smtp" && !local && url.query().is_none() {
                    url.query_pairs_mut().append_pair("tls", "required");
                }
                Ok(Self::Server(String::from(url).into()))
            }
            other => Err(format!("must begin with smtp:, smtps: or file:, begins with {other}:")),
        }
    }

    async fn deliver(&self, id: &str, mail: Message) -> Result<(), Attempt> {
        match self {
            Self::Folder(folder) => {
                let write = async {
                    tokio::fs::create_dir_all(folder).await?;
                    // Renamed when complete: whoever watches the folder never reads half a mail.
                    let part = folder.join(format!("{id}.part"));
                    tokio::fs::write(&part, mail.formatted()).await?;
                    tokio::fs::rename(&part, folder.join(format!("{id}.eml"))).await
                };
                write.await.map_err(|error| Attempt::retry(format!("cannot write to {}: {error}", folder.display())))
            }
            Self::Server(url) => {
                let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.expose_secret())
                    .map_err(|error| Attempt::refused(chassis::chain(&error)))?
                    .timeout(Some(REPLY_TIMEOUT))
                    .build();
                transport.send(mail).await.map(drop).map_err(|error| {
                    // 4xx asks us to come back, 5xx not to (RFC 5321, 4.2.1); a broken connection may be whole later.
                    let cause = chassis::chain(&error);
                    if error.is_permanent() { Attempt::refused(cause) } else { Attempt::retry(cause) }
                })
            }
        }
    }
}

/// The `url` crate keeps an address in a URL of a scheme it does not know as a name.
fn is_loopback(name: &str) -> bool {
    name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// `Auto-Submitted` (RFC 3834): no out-of-office answer to a machine.
#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

/// Hands mails to the mail server.
pub(crate) struct SmtpExecutor {
    pub settings: SmtpSettings,
    pub from: Mailbox,
}

impl SmtpExecutor {
    /// The same bytes at every attempt: id and date come from the effect.
    pub(crate) fn compose(&self, effect: &Effect, mail: &Mail) -> Result<Message, Attempt> {
        let address: Address = mail
            .address
            .parse()
            .map_err(|_| Attempt::refused(format!("{:?} is not an e-mail address", mail.address)))?;
        // The mail library panics at a name with a line break. None is taken in any more; an older one may wait here.
        let one_line = |text: &str| text.replace(char::is_control, " ");
        Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(Some(one_line(&mail.name)), address))
            .subject(one_line(&mail.subject))
            .message_id(Some(format!("<{}@{}>", effect.id, self.from.email.domain())))
            .date(effect.created_at.into())
            .header(ContentType::TEXT_PLAIN)
            .header(AutoSubmitted)
            .body(mail.body.clone())
            .map_err(|error| Attempt::refused(chassis::chain(&error)))
    }
}

#[async_trait]
impl Executor for SmtpExecutor {
    fn name(&self) -> &'static str {
        SMTP
    }

    fn kind(&self) -> EffectKind {
        EffectKind::InDoubt
    }

    /// Mail servers count connections; more would only be put off.
    fn concurrency(&self) -> usize {
        4
    }

    async fn perform(&self, _: &Cx, effect: &Effect) -> Result<Value, Attempt> {
        let mail: Mail = effect.payload_as()?;
        let message = self.compose(effect, &mail)?;
        let route = self.settings.route().map_err(|error| Attempt::retry(error.to_string()))?;
        // A dead letter, so that it can be replayed once there is a server.
        let route = route.ok_or_else(|| Attempt::refused("no SMTP configured (notify.smtp.url)"))?;
        route.deliver(&effect.id, message).await?;
        Ok(json!({"message": mail.message, "recipient": mail.recipient}))
    }

    async fn settled(&self, _: &Cx, tx: &mut Tx, effect: &Effect, settled: &Settled) -> Result<(), StoreError> {
        let mail: Mail = serde_json::from_value(effect.payload.clone())?;
        let failure = match settled {
            Settled::Done(_) => None,
            // Mail servers repeat the address, which is nobody else's to know.
            Settled::Dead { cause } => Some(cause.replace(&mail.address, "(the address)")),
        };
        messages::settle(tx, &mail, failure.as_deref()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str) -> String {
        match MailRoute::parse(&url.into()).unwrap() {
            MailRoute::Server(url) => url.expose_secret().to_owned(),
            MailRoute::Folder(folder) => folder.display().to_string(),
        }
    }

    #[test]
    fn plain_smtp_is_for_this_machine_alone() {
        assert_eq!(server("smtp://127.0.0.1:2525"), "smtp://127.0.0.1:2525");
        assert_eq!(server("smtp://localhost:2525"), "smtp://localhost:2525");
        assert_eq!(server("smtp://[::1]:2525"), "smtp://[::1]:2525");
        assert_eq!(server("smtp://u:p@mail.example.com"), "smtp://u:p@mail.example.com?tls=required");
        assert_eq!(server("smtps://u:p@mail.example.com"), "smtps://u:p@mail.example.com");
        assert_eq!(server("file:///var/mails"), "/var/mails");
    }

    #[test]
    fn a_bad_route_is_refused_without_repeating_a_password() {
        for bad in ["smtp://u:hunter2@mail?tls=opportunistic", "http://u:hunter2@x", "smtp:", "u:hunter2@mail"] {
            let error = MailRoute::parse(&bad.into()).unwrap_err();
            assert!(!error.contains("hunter2"), "{bad}: {error}");
        }
    }
}
