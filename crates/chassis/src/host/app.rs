//! The HTTP application: every service under its own prefix, with what the chassis adds to each.

use std::{collections::BTreeMap, net::TcpListener, sync::Arc};

use actix_web::{App, HttpServer, dev::Server, web};
use utoipa::openapi::{InfoBuilder, OpenApi};
use utoipa_actix_web::{AppExt, scope, service_config::ServiceConfig};
use utoipa_swagger_ui::SwaggerUi;

use super::health::{self, Health};
use crate::{auth::Auth, config::HttpSettings, cx::Cx, http, service::Service, shared::Shared, telemetry::Metrics};

/// Routes at the root, registered once per worker.
pub type ExtraRoutes = Arc<dyn Fn(&mut web::ServiceConfig) + Send + Sync>;

/// Everything that a worker's application is made of.
#[derive(Clone)]
pub(super) struct Site {
    pub services: Arc<[Service]>,
    pub contexts: BTreeMap<&'static str, Cx>,
    pub auth: Auth,
    pub shared: Shared,
    pub metrics: Metrics,
    pub health: Health,
    pub extra: Option<ExtraRoutes>,
    pub http: HttpSettings,
}

/// Routes of one service, and those of the chassis beside them.
fn routes(service: &Service, config: &mut ServiceConfig<'_>) {
    (service.routes)(config);
    config
        .service(http::operations::get_operation)
        .service(http::dead_letters::list_dead_letters)
        .service(http::dead_letters::get_dead_letter)
        .service(http::dead_letters::replay_dead_letter)
        .service(http::dead_letters::discard_dead_letter)
        .service(http::audit::list_audit)
        .service(http::audit_log::get_checkpoint)
        .service(http::audit_log::prove_inclusion)
        .service(http::audit_log::prove_consistency)
        .service(http::audit_log::get_audit_keys);
}

/// The OpenAPI 3.1 document of a service, from the same registration that serves it.
#[must_use]
pub fn openapi(service: &Service) -> OpenApi {
    let prefix = format!("/{}", service.name);
    let scope = scope(prefix.as_str()).configure(|config: &mut ServiceConfig<'_>| routes(service, config));
    let (_, mut document) = App::new().into_utoipa_app().service(scope).split_for_parts();
    document.info = InfoBuilder::new()
        .title(format!("Steward: {}", service.title))
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(service.summary))
        .build();
    http::document::complete(&mut document);
    document
}

pub(super) fn serve(site: Site, listener: TcpListener) -> Result<Server, std::io::Error> {
    let documents: Arc<[(&'static str, OpenApi)]> =
        site.services.iter().map(|service| (service.name, openapi(service))).collect();
    let (workers, drain) = (site.http.workers, site.http.drain_seconds);
    let server = HttpServer::new(move || {
        let site = site.clone();
        let layers = http::layers(&site.http, &site.auth, &site.shared, &site.metrics);
        let mut app = App::new()
            .app_data(web::Data::new(site.health.clone()))
            .app_data(http::Allowed::of(documents.iter().map(|(_, document)| document)))
            .configure(|config| http::configure(config, &site.http, &site.auth))
            .service(health::healthz)
            .service(health::readyz)
            .service(health::scrape)
            .into_utoipa_app();
        // Before the services: a scope answers for everything under its prefix.
        for (name, document) in documents.iter() {
            let docs = SwaggerUi::new(format!("/{name}/docs/{{_:.*}}"));
            app = app.map(|app| app.service(docs.url(format!("/{name}/openapi.json"), document.clone())));
        }
        for service in site.services.iter() {
            let cx = site.contexts[service.name].clone();
            let prefix = format!("/{}", service.name);
            app = app.service(scope(prefix.as_str()).configure(|config: &mut ServiceConfig<'_>| {
                config.app_data(cx);
                routes(service, config);
            }));
        }
        let mut app = app.into_app();
        if let Some(extra) = &site.extra {
            app = app.configure(|config| extra(config));
        }
        layers.around(app)
    });
    let server = if workers == 0 { server } else { server.workers(workers) };
    Ok(server.listen(listener)?.shutdown_timeout(drain).disable_signals().run())
}
