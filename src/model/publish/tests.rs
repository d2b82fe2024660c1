use super::*;
use crate::model::testing::{TinyModels, files_in};

fn fill(writer: &mut BundleWriter, from: &Path) {
    for name in files_in(from).iter().filter(|name| *name != MANIFEST_FILE) {
        writer.write(name, &fs::read(from.join(name)).unwrap()).unwrap();
    }
}

#[test]
fn a_published_bundle_is_complete_and_verified() {
    let models = TinyModels::new();
    let manifest = Bundle::open(&models.bundle()).unwrap().manifest().clone();
    let destination = models.models().join("out/new");
    let mut writer = BundleWriter::create(&destination).unwrap();
    fill(&mut writer, &models.bundle());
    fs::write(writer.path().join("notes.txt"), b"by hand").unwrap();
    writer.adopt("notes.txt").unwrap();
    assert!(!destination.exists());

    let published = writer.publish(manifest).unwrap();

    let bundle = Bundle::open(&published).unwrap();
    assert!(bundle.manifest().files.iter().any(|file| file.path == "notes.txt"));
    assert_eq!(files_in(&models.models().join("out")), ["new"]);
}

#[test]
fn an_incomplete_bundle_never_appears() {
    let models = TinyModels::new();
    let manifest = Bundle::open(&models.bundle()).unwrap().manifest().clone();
    let destination = models.models().join("out/new");

    let mut writer = BundleWriter::create(&destination).unwrap();
    writer.write("heads.onnx", b"half of it").unwrap();
    let error = writer.publish(manifest).unwrap_err();

    assert!(matches!(error, PrepareError::Inconsistent { .. }), "{error}");
    assert_eq!(files_in(&models.models().join("out")), Vec::<String>::new());
}

#[test]
fn never_overwrites() {
    let models = TinyModels::new();

    assert!(matches!(BundleWriter::create(&models.bundle()), Err(PrepareError::Exists { .. })));
}
