use crate::{Execution, Process, Program, Scratch, Tool, free_port, wait};
use anyhow::{Context as _, Result, bail, ensure};
use reqwest::header::{COOKIE, SET_COOKIE};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Seconds on a quiet machine; ten times as long beside a build.
const PATIENCE: Duration = Duration::from_secs(240);
const OWNER: &str = "owner@example.test";
const PASSWORD: &str = "N8nTest-pass1";
/// bcrypt of [`PASSWORD`]: n8n takes the owner's password only in this form.
const PASSWORD_HASH: &str = "$2a$10$ltKwwnzo.LKAlL2wd8HZGell1ucI8Xx3iF9A2.3atqAiqooOlOUa2";

/// Modules that a test does not need. Without them n8n boots faster and calls nobody outside.
const DISABLED_MODULES: &str = "mcp,chat-hub,instance-ai,agents,mcp-registry,workflow-builder,sso-oidc,sso-saml,ldap,\
     source-control,external-secrets,log-streaming,quick-connect,favorites,community-packages,oauth-server,\
     token-exchange,provisioning,dynamic-credentials,breaking-changes,workflow-reviews";

/// What an n8n instance is made of.
#[derive(Debug, Clone, Default)]
pub struct N8nConfig {
    /// Reserved beforehand with [`free_port`] by who must tell its services where n8n will be.
    pub port: Option<u16>,
    /// Exported workflows, ready to run: whatever depends on the test (the base URL in the Config node) is filled in.
    /// Each carries its own `id`; all are activated, so each has a trigger other than the manual one.
    pub workflows: Vec<Value>,
    /// Plain credentials: `{id, name, type, data}`.
    pub credentials: Vec<Value>,
    /// Settings of n8n beyond those of this crate.
    pub env: Vec<(String, String)>,
}

/// A real n8n on an empty user folder. Ready in 12 to 20 seconds.
#[derive(Debug)]
pub struct N8n {
    process: Process,
    base_url: String,
    http: Client,
    api_key: String,
    /// Method and path of every webhook of the given workflows.
    webhooks: Vec<(String, String)>,
    _scratch: Scratch,
}

impl N8n {
    /// Imports credentials and workflows, boots, activates every workflow, and waits until each webhook answers.
    pub async fn start(config: N8nConfig) -> Result<Self> {
        let binary = Tool::N8n.find().context("n8n is not installed")?;
        crate::install_tls_provider();
        let ids = ids(&config.workflows)?;
        let (scratch, port) = (Scratch::new("n8n")?, config.port.unwrap_or_else(free_port));
        let program = Program::new(binary).envs(environment(scratch.path(), port)).envs(config.env);
        import(&program, "import:credentials", &scratch.path().join("credentials.json"), &config.credentials).await?;
        import(&program, "import:workflow", &scratch.path().join("workflows.json"), &config.workflows).await?;

        let mut n8n = Self {
            process: Process::start(program.args(["start"]))?,
            base_url: format!("http://127.0.0.1:{port}"),
            http: Client::builder().timeout(PATIENCE).build()?,
            api_key: String::new(),
            webhooks: webhooks(&config.workflows),
            _scratch: scratch,
        };
        n8n.wait_ready().await?;
        n8n.api_key = n8n.create_api_key().await?;
        n8n.activate(ids).await?;
        n8n.wait_webhooks().await?;
        Ok(n8n)
    }

    /// Without a slash at its end.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The production URL of a webhook node's path.
    pub fn webhook_url(&self, path: &str) -> String {
        format!("{}/webhook/{path}", self.base_url)
    }

    /// A key of the owner with every scope, for the header `X-N8N-API-KEY`.
    pub fn api_key(&self) -> &str {
        &self.api_key
    }

    /// The latest executions of one workflow, newest first, without their data.
    pub async fn executions(&self, workflow_id: &str) -> Result<Vec<Execution>> {
        let path = format!("/api/v1/executions?limit=250&workflowId={workflow_id}");
        let mut answer = self.call(Method::GET, &path, None).await?;
        let Value::Array(list) = answer["data"].take() else { bail!("{path} answered no list: {answer}") };
        Ok(list.into_iter().map(Execution).collect())
    }

    /// One execution; with `include_data`, what each node put out as well.
    pub async fn execution(&self, id: &str, include_data: bool) -> Result<Execution> {
        let path = format!("/api/v1/executions/{id}?includeData={include_data}");
        Ok(Execution(self.call(Method::GET, &path, None).await?))
    }

    /// The execution with its data, once it has ended, however it ended.
    pub async fn wait_execution(&self, id: &str, within: Duration) -> Result<Execution> {
        self.wait_for(id, Execution::is_final, "ends", within).await
    }

    /// The execution with its data, once it is parked at a Wait node: only from then on does a callback reach it.
    pub async fn wait_parked(&self, id: &str, within: Duration) -> Result<Execution> {
        self.wait_for(id, |execution| execution.status() == "waiting", "waits", within).await
    }

    async fn wait_for(
        &self,
        id: &str,
        wanted: impl Fn(&Execution) -> bool,
        verb: &str,
        within: Duration,
    ) -> Result<Execution> {
        let probe = async || {
            let execution = self.execution(id, false).await?;
            ensure!(wanted(&execution), "it is {:?}", execution.status());
            self.execution(id, true).await
        };
        wait::poll(within, &format!("n8n execution {id} {verb}"), probe).await
    }

    /// A call of n8n's public API; `path` begins with `/api/v1/`. Other statuses than 2xx are errors with n8n's answer.
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let request = self.http.request(method, format!("{}{path}", self.base_url));
        let request = request.header("X-N8N-API-KEY", &self.api_key);
        send(body.into_iter().fold(request, RequestBuilder::json)).await
    }

    pub async fn stop(&mut self) -> Result<()> {
        self.process.terminate().await?;
        Ok(())
    }

    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    /// On the same port and user folder: parked executions are still parked, running ones become `crashed`.
    pub async fn start_again(&mut self) -> Result<()> {
        self.process.start_again()?;
        self.wait_ready().await?;
        self.wait_webhooks().await
    }

    pub fn log(&self) -> String {
        self.process.log()
    }

    async fn wait_ready(&mut self) -> Result<()> {
        let url = format!("{}/healthz/readiness", self.base_url);
        self.process.wait_ready(&url, PATIENCE).await
    }

    async fn create_api_key(&self) -> Result<String> {
        let login = self.http.post(format!("{}/rest/login", self.base_url));
        let login = login.json(&json!({"emailOrLdapLoginId": OWNER, "password": PASSWORD})).send().await?;
        let login = login.error_for_status().context("the owner cannot log in to n8n")?;
        let cookie = login.headers().get(SET_COOKIE).context("n8n's log-in set no cookie")?.to_str()?;
        let cookie = cookie.split(';').next().unwrap_or_default();
        let keys = format!("{}/rest/api-keys", self.base_url);
        let scopes = send(self.http.get(format!("{keys}/scopes")).header(COOKIE, cookie)).await?;
        let wish = json!({"label": "testkit", "scopes": scopes["data"], "expiresAt": null});
        let answer = send(self.http.post(keys).header(COOKIE, cookie).json(&wish)).await?;
        Ok(answer["data"]["rawApiKey"].as_str().context("n8n answered no API key")?.to_owned())
    }

    /// Through the API, which is ten times faster than publishing on the command line. A workflow may need another one
    /// to be active first (its sub-workflow), so those refused get another turn as long as there is progress.
    async fn activate(&self, mut ids: Vec<String>) -> Result<()> {
        while !ids.is_empty() {
            let (mut refused, mut refusals) = (Vec::new(), Vec::new());
            let count = ids.len();
            for id in ids {
                if let Err(refusal) = self.call(Method::POST, &format!("/api/v1/workflows/{id}/activate"), None).await {
                    refusals.push(format!("{id}: {refusal:#}"));
                    refused.push(id);
                }
            }
            ensure!(refused.len() < count, "n8n activates none of these:\n{}", refusals.join("\n"));
            ids = refused;
        }
        Ok(())
    }

    /// Neither n8n's readiness nor the answer of `activate` says that a webhook is there. An OPTIONS request does, by
    /// the methods it allows, and starts nothing.
    async fn wait_webhooks(&mut self) -> Result<()> {
        for (method, path) in &self.webhooks {
            let url = format!("{}/webhook/{path}", self.base_url);
            let probe = async || {
                let answer = self.http.request(Method::OPTIONS, &url).header("Origin", &self.base_url).send().await?;
                let allowed = answer.headers().get("access-control-allow-methods");
                let allowed = allowed.and_then(|value| value.to_str().ok()).unwrap_or_default();
                ensure!(allowed.split(", ").any(|one| one == method), "{} allowing {allowed:?}", answer.status());
                Ok(())
            };
            self.process.until(PATIENCE, &format!("n8n takes {method} {url}"), probe).await?;
        }
        Ok(())
    }
}

async fn send(request: RequestBuilder) -> Result<Value> {
    let answer = request.send().await?;
    let (status, url, text) = (answer.status(), answer.url().clone(), answer.text().await?);
    ensure!(status.is_success(), "{url} answered {status}: {text}");
    serde_json::from_str(&text).with_context(|| format!("{url} answered no JSON: {text}"))
}

async fn import(n8n: &Program, command: &str, file: &Path, content: &[Value]) -> Result<()> {
    if content.is_empty() {
        return Ok(());
    }
    fs::write(file, serde_json::to_vec(content)?)?;
    n8n.clone().args([command.to_owned(), format!("--input={}", file.display())]).run(PATIENCE).await?;
    Ok(())
}

fn ids(workflows: &[Value]) -> Result<Vec<String>> {
    let id = |(at, workflow): (usize, &Value)| {
        workflow["id"].as_str().map(str::to_owned).with_context(|| format!("/workflows/{at}/id is not a text"))
    };
    workflows.iter().enumerate().map(id).collect()
}

fn webhooks(workflows: &[Value]) -> Vec<(String, String)> {
    let nodes = workflows.iter().filter_map(|workflow| workflow["nodes"].as_array()).flatten();
    let triggers = nodes.filter(|node| node["type"] == "n8n-nodes-base.webhook" && node["disabled"] != true);
    let webhook = |node: &Value| {
        let parameters = &node["parameters"];
        let method = parameters["httpMethod"].as_str().unwrap_or("GET");
        Some((method.to_owned(), parameters["path"].as_str()?.to_owned()))
    };
    triggers.filter_map(webhook).collect()
}

fn environment(folder: &Path, port: u16) -> Vec<(&'static str, String)> {
    let off = [
        "N8N_DIAGNOSTICS_ENABLED",
        "N8N_VERSION_NOTIFICATIONS_ENABLED",
        "N8N_DYNAMIC_BANNERS_ENABLED",
        "N8N_TEMPLATES_ENABLED",
        "N8N_PERSONALIZATION_ENABLED",
        "N8N_LICENSE_AUTO_RENEW_ENABLED",
        "N8N_SECURE_COOKIE",
    ];
    let mut env: Vec<(&'static str, String)> = off.into_iter().map(|name| (name, "false".to_owned())).collect();
    env.extend([
        ("N8N_USER_FOLDER", folder.display().to_string()),
        ("N8N_ENCRYPTION_KEY", "test-key".to_owned()),
        ("N8N_LISTEN_ADDRESS", "127.0.0.1".to_owned()),
        ("N8N_HOST", "127.0.0.1".to_owned()),
        ("N8N_PORT", port.to_string()),
        ("N8N_WEBHOOK_URL", format!("http://127.0.0.1:{port}/")),
        // Where its own child process finds it; the default port would collide with a second instance.
        ("N8N_RUNNERS_BROKER_PORT", free_port().to_string()),
        ("N8N_DISABLED_MODULES", DISABLED_MODULES.to_owned()),
        ("N8N_DISABLE_UI", "true".to_owned()),
        ("N8N_METRICS", "true".to_owned()),
        ("GENERIC_TIMEZONE", "UTC".to_owned()),
        ("N8N_INSTANCE_OWNER_MANAGED_BY_ENV", "true".to_owned()),
        ("N8N_INSTANCE_OWNER_EMAIL", OWNER.to_owned()),
        ("N8N_INSTANCE_OWNER_FIRST_NAME", "Test".to_owned()),
        ("N8N_INSTANCE_OWNER_LAST_NAME", "Owner".to_owned()),
        ("N8N_INSTANCE_OWNER_PASSWORD_HASH", PASSWORD_HASH.to_owned()),
    ]);
    env
}
