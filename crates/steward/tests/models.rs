//! A model's way from cases in a file to a version that judges, as an operator goes it: on the command line, against a
//! fleet that runs.

#![expect(clippy::unwrap_used, reason = "a promise that does not hold ends the test")]

use std::{
    path::PathBuf,
    process::{Command, Output},
};

use chassis::{
    Ids, Settings,
    auth::{Grantee, KeysFile, Role, generate_key},
    host::{HostOptions, Running, start},
};
use serde_json::{Value, json};

const MODEL: &str = "shipment-risk";

struct Shop {
    running: Running,
    key: String,
    folder: tempfile::TempDir,
}

/// What a command said, and whether it succeeded.
struct Said {
    success: bool,
    out: String,
    error: String,
}

impl Shop {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (key, mut entry) = generate_key(&Ids::default(), &"olga".to_owned().try_into().unwrap());
        entry.roles = [Role::Operator, Role::Service].map(Grantee::everywhere).to_vec();
        let keys = folder.path().join("keys.yaml");
        std::fs::write(&keys, KeysFile { keys: vec![entry] }.to_yaml().unwrap()).unwrap();
        let settings = json!({
            "http": {"listen": "127.0.0.1:0", "workers": 2}, "store": {"data_dir": folder.path().join("store")},
            "auth": {"keys_file": keys},
        });
        let settings = Settings::from_yaml(&settings.to_string()).unwrap();
        let services = vec![scoring_svc::service(&settings).unwrap()];
        let running = start(services, &settings, HostOptions::default()).await.unwrap();
        Self { running, key, folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, lines: &[String]) {
        std::fs::write(self.file(name), lines.join("\n") + "\n").unwrap();
    }

    /// `steward models` in the folder of the files.
    async fn steward(&self, arguments: &str) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_steward"));
        command.arg("models").args(arguments.split(' ')).current_dir(self.folder.path());
        command.env("STEWARD_URL", self.running.base_url()).env("STEWARD_KEY", &self.key);
        let ran = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let Output { status, stdout, stderr } = ran;
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Said { success: status.success(), out: text(stdout), error: text(stderr) }
    }

    async fn succeeds(&self, arguments: &str) -> String {
        let said = self.steward(arguments).await;
        assert!(said.success, "{arguments}: {}", said.error);
        said.out
    }

    async fn fails(&self, arguments: &str) -> String {
        let said = self.steward(arguments).await;
        assert!(!said.success, "{arguments}: {}", said.out);
        said.error
    }

    /// The version that judges when this one is asked for.
    async fn judging(&self, query: &str) -> String {
        let url = format!("{}/scoring/v1/{MODEL}/batch{query}", self.running.base_url());
        let body = json!({"items": [request("slow", 0)]});
        let answer = reqwest::Client::new().post(url).bearer_auth(&self.key).json(&body).send().await.unwrap();
        let judged: Value = answer.json().await.unwrap();
        judged["items"][0]["model"]["version"].as_str().unwrap_or_else(|| panic!("{judged}")).to_owned()
    }
}

/// A transport that has not begun, through one place.
fn request(place: &str, n: u32) -> Value {
    let step = |until: &str| json!({"until": until, "place": place, "planned_minutes": 600.0});
    let steps = ["received", "departed", "arrived", "delivered"].map(step);
    json!({"as_of": "2026-11-23T08:00:00Z", "transport": {"id": format!("T-{n}"), "inbound": [{"steps": steps}]}})
}

/// Transports of which those through one place take twice their plan, and the others half of it.
fn cases(slow: &str, numbers: std::ops::Range<u32>) -> Vec<String> {
    let case = |n: u32| {
        let place = ["slow", "fast"][n as usize % 2];
        let minutes = if place == slow { 1200.0 } else { 300.0 } + f64::from(n % 7);
        json!({"request": request(place, n), "outcome": {"inbound": [[minutes, minutes, minutes, minutes]]}})
            .to_string()
    };
    numbers.map(case).collect()
}

/// The same as a table whose columns are pointers.
fn table(cases: &[String]) -> Vec<String> {
    let pointers = ["/request/as_of", "/request/transport/id", "/request/transport/inbound", "/outcome/inbound"];
    let row = |case: &String| {
        let case: Value = serde_json::from_str(case).unwrap();
        let cell = |pointer: &str| format!("\"{}\"", case.pointer(pointer).unwrap().to_string().replace('"', "\"\""));
        pointers.map(cell).join(",")
    };
    [pointers.join(",")].into_iter().chain(cases.iter().map(row)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_fitted_to_a_file_judges_once_it_is_published_and_a_worse_one_only_when_it_is_forced() {
    let shop = Shop::open().await;
    shop.write("past.ndjson", &cases("slow", 0..120));
    shop.write("past.csv", &table(&cases("slow", 0..120)));
    shop.write("wrong.ndjson", &cases("fast", 0..120));
    shop.write("later.ndjson", &cases("slow", 200..260));

    let said = shop.succeeds(&format!("fit {MODEL} --data past.ndjson --as 2 --out two.json")).await;
    assert!(said.contains("wrote version 2 of shipment-risk") && said.contains("120 cases"), "{said}");
    shop.succeeds(&format!("fit {MODEL} --data past.csv --as 2 --out table.json")).await;
    let read = |name: &str| std::fs::read_to_string(shop.file(name)).unwrap();
    assert_eq!(read("table.json"), read("two.json"), "a table is the same cases");
    let measure = format!("backtest {MODEL} --data later.ndjson --parameters two.json --html page.html");
    let table = shop.succeeds(&measure).await;
    assert!(table.contains("average_precision") && read("page.html").contains("<svg"), "{table}");

    assert_eq!(shop.judging("").await, "1");
    let publish = |file: &str| format!("publish {MODEL} --parameters {file} --data later.ndjson");
    let said = shop.succeeds(&publish("two.json")).await;
    assert_eq!(said.trim(), "version 2 of shipment-risk judges from now on");
    assert_eq!((shop.judging("").await, shop.judging("?version=1").await), ("2".to_owned(), "1".to_owned()));

    shop.succeeds(&format!("fit {MODEL} --data wrong.ndjson --as 3 --out three.json")).await;
    let refused = shop.fails(&publish("three.json")).await;
    assert!(refused.contains("worse") && refused.contains("average_precision"), "{refused}");
    assert_eq!(shop.judging("").await, "2");
    let refused = shop.fails(&(publish("three.json") + " --force")).await;
    assert!(refused.contains("--reason"), "{refused}");
    shop.succeeds(&(publish("three.json") + " --force --reason the-places-have-swapped")).await;
    assert_eq!((shop.judging("").await, shop.judging("?version=2").await), ("3".to_owned(), "2".to_owned()));

    let said = shop.succeeds(&format!("activate {MODEL} 2 --reason they-have-not")).await;
    assert_eq!(said.trim(), "version 2 of shipment-risk judges from now on");
    assert_eq!(shop.judging("").await, "2");
    let listed = shop.succeeds(&format!("versions {MODEL}")).await;
    let lines: Vec<&str> = listed.lines().collect();
    assert!(lines[0].contains('3') && lines[0].contains("forced: the-places-have-swapped"), "{listed}");
    assert!(lines[1].starts_with("judges") && lines[1].contains("olga"), "{listed}");
    assert!(lines[2].contains("shipped"), "{listed}");
    // Known already, and not the one that was chosen.
    let said = shop.succeeds(&publish("three.json")).await;
    assert!(said.contains("does not judge"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_case_that_cannot_be_read_is_named_by_its_number_and_its_field() {
    let shop = Shop::open().await;
    let mut lines = cases("slow", 0..120);
    lines[6] = lines[6].replace("600.0", "\"ten hours\"");
    shop.write("past.ndjson", &lines);
    let refused = shop.fails(&format!("fit {MODEL} --data past.ndjson --as 2 --out two.json")).await;
    assert!(refused.contains("case 7") && refused.contains("inbound/0/steps/0/planned_minutes"), "{refused}");
    assert!(!shop.file("two.json").exists());
    let refused = shop.fails("versions no-such-model").await;
    assert!(refused.contains("model"), "{refused}");
}
