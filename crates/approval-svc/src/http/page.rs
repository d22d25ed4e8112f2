//! `/decide/{token}`: the page behind a signed link. Looking never decides, whoever looks: mail programs and chats
//! open links to make previews. Only the form's POST decides, once.

use std::sync::LazyLock;

use actix_web::{
    HttpRequest, HttpResponse, get,
    http::{StatusCode, header},
    post, web,
};
use chassis::prelude::*;
use governance::{
    Actor, Command,
    link::{Link, LinkRefused},
    request::{Refused, Verdict},
};
use minijinja::{Environment, Value, context, value::Serde};
use serde::Deserialize;

use super::{review_status, status_of};
use crate::{
    desk::{Desk, DeskError, ReviewRefused},
    rules::{
        page::{PageView, Reader, refusal},
        proposal::MAX_TEXT,
    },
    store::{self, Stored, overrides},
};

const USE_BUTTONS: &str = "Please use the buttons of the page.";

/// Autoescape goes by the `.html` of the names.
static TEMPLATES: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut templates = Environment::new();
    let pages = [
        ("frame.html", include_str!("../../templates/frame.html")),
        ("decide.html", include_str!("../../templates/decide.html")),
        ("refused.html", include_str!("../../templates/refused.html")),
    ];
    for (name, text) in pages {
        if let Err(error) = templates.add_template(name, text) {
            tracing::error!(name, %error, "a page template cannot be read");
        }
    }
    templates
});

/// The buttons of the page.
#[derive(Clone, Copy, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Button {
    Approve,
    Reject,
    SendBack,
    /// Says something and decides nothing.
    Comment,
    /// Answers the question with which it was sent back.
    Answer,
    /// The review of an override: the person who approved alone was right to.
    Justified,
    Unjustified,
}

/// What the form sends.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DecisionForm {
    decision: Button,
    /// Of the request, as the page showed it: a decision about an earlier one is refused.
    #[serde(default)]
    revision: Option<u32>,
    #[serde(default)]
    #[schema(max_length = 2000)]
    comment: String,
}

/// The page of one request, for the person whom the link belongs to. Decides nothing.
#[utoipa::path(
    tag = "decision page", security(()),
    params(("token" = String, Path, description = "From the link in a message")),
    responses(
        Problems,
        (status = 200, description = "The page", content_type = "text/html", body = String),
        (status = 403, description = "Not a link of ours", content_type = "text/html", body = String),
        (status = 410, description = "The link has expired", content_type = "text/html", body = String),
    )
)]
#[get("/decide/{token}")]
pub(crate) async fn show_decision_page(
    cx: Cx,
    desk: web::Data<Desk>,
    token: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let page = Page { cx: &cx, desk: &desk };
    match page.open(&token).await? {
        Ok((link, request)) => page.show(&link, &request, StatusCode::OK, None, "").await,
        Err(refused) => Ok(refused),
    }
}

/// Takes the decision of the person whom the link belongs to, or their review of an override, then shows the page
/// again. A second click finds the first answer.
#[utoipa::path(
    tag = "decision page", security(()),
    params(("token" = String, Path, description = "From the link in a message")),
    request_body(content = DecisionForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        Problems,
        (status = 303, description = "Decided; the page shows how it stands"),
        (status = 400, description = "Not the form of the page", content_type = "text/html", body = String),
        (status = 403, description = "Not a link of ours, or not theirs to decide", content_type = "text/html", body = String),
        (status = 409, description = "Decided already, by somebody else or by time", content_type = "text/html", body = String),
        (status = 410, description = "The link has expired", content_type = "text/html", body = String),
        (status = 422, description = "A comment is needed", content_type = "text/html", body = String),
    )
)]
#[post("/decide/{token}")]
pub(crate) async fn submit_decision(
    cx: Cx,
    desk: web::Data<Desk>,
    http: HttpRequest,
    token: web::Path<String>,
    form: Result<web::Form<DecisionForm>, actix_web::Error>,
) -> Result<HttpResponse, ApiError> {
    let page = Page { cx: &cx, desk: &desk };
    let (link, request) = match page.open(&token).await? {
        Ok(opened) => opened,
        Err(refused) => return Ok(refused),
    };
    let form = match form {
        // U+0000 is in no text that a person types, and PostgreSQL cannot keep it.
        Ok(form) if form.comment.chars().count() <= MAX_TEXT && !form.comment.contains('\0') => form.into_inner(),
        _ => return page.refuse(StatusCode::BAD_REQUEST, "That did not work", USE_BUTTONS),
    };
    let (status, notice) = match page.take(&link, &form).await {
        // The page by itself, so that a reload does not send the form again.
        Ok(()) | Err(DeskError::Refused(Refused::AlreadyDecided(_))) => {
            return Ok(HttpResponse::SeeOther().insert_header((header::LOCATION, http.path())).finish());
        }
        Err(DeskError::Refused(refused)) => {
            let zone = request.case.facts.place.time_zone.as_deref();
            (status_of(&refused).0, refusal(&refused, &desk.directory(), zone))
        }
        Err(DeskError::Review(refused)) => (review_status(&refused).1, review_refusal(&refused).to_owned()),
        // A review of what nobody approved alone: no button of the page says that.
        Err(DeskError::Unknown) => return page.refuse(StatusCode::BAD_REQUEST, "That did not work", USE_BUTTONS),
        Err(other) => return Err(other.into()),
    };
    let (_, now) = match page.open(&token).await? {
        Ok(opened) => opened,
        Err(refused) => return Ok(refused),
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::CONFLICT);
    page.show(&link, &now, status, Some(notice), &form.comment).await
}

/// Why a review was not taken, for the person who tried.
fn review_refusal(refused: &ReviewRefused) -> &'static str {
    match refused {
        ReviewRefused::OwnOverride(_) => "You approved this alone or asked for it, so somebody else reviews it.",
        ReviewRefused::CommentNeeded => "Please write what you found, then press the button again.",
        ReviewRefused::NotReviewer { .. } => "This review is owed by a role that you do not hold (any more).",
        ReviewRefused::Reviewed(_) => "Your review came too late: somebody has reviewed it.",
    }
}

/// What a form comes to.
enum Word {
    Command(Box<Command>),
    /// Of an override, with what the reviewer wrote.
    Review(overrides::Verdict, String),
}

fn word_of(link: &Link, form: &DecisionForm) -> Word {
    let text = form.comment.trim().to_owned();
    let person = link.person.clone();
    let by = Actor::Person { person: person.clone() };
    let verdict = match form.decision {
        Button::Approve => Verdict::Approve,
        Button::Reject => Verdict::Reject,
        // Without words it is refused as a question without words is.
        Button::SendBack => Verdict::SendBack,
        Button::Comment => return Word::Command(Box::new(Command::Comment { by, text })),
        Button::Answer => return Word::Command(Box::new(Command::Answer { by, text })),
        Button::Justified => return Word::Review(overrides::Verdict::Justified, text),
        Button::Unjustified => return Word::Review(overrides::Verdict::Unjustified, text),
    };
    let comment = Some(text).filter(|text| !text.is_empty());
    let (step, revision) = (Some(link.step), form.revision);
    Word::Command(Box::new(Command::Decide { person, verdict, comment, step, version: None, revision }))
}

struct Page<'a> {
    cx: &'a Cx,
    desk: &'a Desk,
}

impl Page<'_> {
    /// Whom the link lets in and to what, or the page that says why not.
    async fn open(&self, token: &str) -> Result<Result<(Link, Stored), HttpResponse>, ApiError> {
        let link = match self.desk.read_link(token, self.cx.clock().now()).map_err(ApiError::internal)? {
            Ok(link) => link,
            Err(LinkRefused::Expired { .. }) => {
                let detail = "Its time is over. If the matter is still open, a reminder brings a new link.";
                return self.refuse(StatusCode::GONE, "This link has expired", detail).map(Err);
            }
            Err(LinkRefused::Malformed | LinkRefused::BadSignature) => {
                let detail = "It was cut or changed on its way. Please open it from the message again.";
                return self.refuse(StatusCode::FORBIDDEN, "This link is not valid", detail).map(Err);
            }
        };
        let request = store::find(&mut self.cx.store().read().await?, &link.approval_id).await?;
        match request {
            Some(request) => Ok(Ok((link, request))),
            None => {
                self.refuse(StatusCode::GONE, "This link has expired", "The request is not kept any more.").map(Err)
            }
        }
    }

    /// Does what the button says.
    async fn take(&self, link: &Link, form: &DecisionForm) -> Result<(), DeskError> {
        let id = &link.approval_id;
        match word_of(link, form) {
            Word::Command(command) => self.desk.command(self.cx, id, &command, "link").await.map(drop),
            Word::Review(_, text) if text.is_empty() => Err(ReviewRefused::CommentNeeded.into()),
            Word::Review(found, text) => {
                self.desk.review_override(self.cx, id, &link.person, found, &text).await.map(drop)
            }
        }
    }

    async fn show(
        &self,
        link: &Link,
        request: &Stored,
        status: StatusCode,
        notice: Option<String>,
        comment: &str,
    ) -> Result<HttpResponse, ApiError> {
        let (mut reader, now) = (self.cx.store().read().await?, self.cx.clock().now());
        let directory = self.desk.people_looking(&mut reader, request, now).await?;
        let oversight = self.desk.oversight(&mut reader, &request.id, now).await?;
        let reader = Reader { person: &link.person, step: link.step, directory: &directory, now };
        let page = Value::from(Serde(PageView::of(request, oversight.as_ref(), &reader)));
        self.render(status, "decide.html", |nonce| context! { nonce, page, notice, comment })
    }

    fn refuse(&self, status: StatusCode, title: &str, detail: &str) -> Result<HttpResponse, ApiError> {
        self.render(status, "refused.html", |nonce| context! { nonce, title, detail })
    }

    /// No script runs on the page, and nothing but its own style is loaded: a comment can hold anything. The chassis
    /// adds that nobody keeps the page or learns the link from a referrer.
    fn render(
        &self,
        status: StatusCode,
        template: &str,
        context: impl FnOnce(String) -> Value,
    ) -> Result<HttpResponse, ApiError> {
        let nonce: String = self.cx.ids().secret_bytes::<16>().iter().map(|byte| format!("{byte:02x}")).collect();
        let policy = format!(
            "default-src 'none'; style-src 'nonce-{nonce}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        );
        let html = TEMPLATES.get_template(template).and_then(|template| template.render(context(nonce)));
        let html = html.map_err(ApiError::internal)?;
        Ok(HttpResponse::build(status)
            .content_type("text/html; charset=utf-8")
            .insert_header((header::CONTENT_SECURITY_POLICY, policy))
            .body(html))
    }
}
