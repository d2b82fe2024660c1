use std::fs;
use std::path::Path;
use std::sync::Mutex;

use super::*;
use crate::model::shelf::CURRENT_FILE;
use crate::model::testing::{TinyModels, flip_byte};

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Heard {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl Watcher for Heard {
    fn activated(&self, bundle: &BundleId) {
        self.0.lock().unwrap().push(format!("activated {bundle}"));
    }

    fn refused(&self, bundle: &Path, error: &PrepareError) {
        let name = bundle.file_name().unwrap().to_string_lossy();
        self.0.lock().unwrap().push(format!("refused {name}: {}", error.metric_label()));
    }
}

fn watch(models: &TinyModels) -> (Watch, Arc<Heard>) {
    let (registry, heard) = (Arc::new(Registry::new()), Arc::new(Heard::default()));
    registry.activate(models.prepared(&models.bundle()));
    let watcher: Arc<dyn Watcher> = Arc::<Heard>::clone(&heard);
    (Watch { registry, settings: models.settings(&models.bundle()), watcher }, heard)
}

#[test]
fn follows_current_and_keeps_serving_when_a_bundle_is_refused() {
    let models = TinyModels::new();
    let (watch, heard) = watch(&models);
    let shelf = Shelf::new(models.models());

    let seen = watch.step(models.bundle());
    assert_eq!(heard.take(), Vec::<String>::new());

    shelf.promote(&models.optimist("next")).unwrap();
    let seen = watch.step(seen);
    assert_eq!(heard.take(), ["activated next"]);

    let bad = models.optimist("bad");
    flip_byte(&bad.join("heads.onnx"));
    fs::write(models.models().join(CURRENT_FILE), "bundles/bad\nbundles/next\n").unwrap();
    let seen = watch.step(seen);
    let seen = watch.step(seen);
    assert_eq!(heard.take(), ["refused bad: digest"]);
    assert_eq!(watch.registry.current().unwrap().id().as_str(), "next");

    fs::write(models.models().join(CURRENT_FILE), "../out\n").unwrap();
    let seen = watch.step(seen);
    let seen = watch.step(seen);
    assert_eq!(heard.take(), ["refused CURRENT: path"]);

    fs::write(models.models().join(CURRENT_FILE), "default\n").unwrap();
    watch.step(seen);
    assert_eq!(heard.take(), ["activated tiny"]);
}

#[tokio::test]
async fn ends_when_cancelled() {
    let models = TinyModels::new();
    let (watch, _) = watch(&models);
    let cancelled = CancellationToken::new();
    let running = watch.run(models.bundle(), cancelled.clone());

    cancelled.cancel();

    tokio::time::timeout(Duration::from_secs(10), running).await.unwrap();
}
