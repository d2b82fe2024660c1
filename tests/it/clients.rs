//! The official OpenAI clients, pointed at the server.

use std::process::{Command, Stdio};

use crate::support::{Setup, TestApp};

/// Runs a checking script with the interpreter that `make test` named, and shows its words if it failed.
async fn check(interpreter: &str, script: &str) {
    let Ok(program) = std::env::var(interpreter) else {
        // `make test` says what it skipped and why; CI has them all.
        assert!(std::env::var_os("CI").is_none(), "{interpreter} must be set in CI; run `make test`");
        return;
    };
    let keys = "[[server.keys]]\nname = \"alice\"\nkey = { env = \"ALICE_KEY\" }\n";
    let setup = Setup { toml: keys.to_owned(), environment: vec![("ALICE_KEY".to_owned(), "alice-key".to_owned())] };
    let app = TestApp::start(setup).await;

    let mut command = Command::new(program);
    command
        .arg(script)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("TRIMTAB_URL", &app.url)
        .env("TRIMTAB_KEY", "alice-key")
        .stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();

    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_works() {
    check("TRIMTAB_TEST_PYTHON", "tests/clients/python/check.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_client_works() {
    check("TRIMTAB_TEST_NODE", "tests/clients/node/check.mjs").await;
}
