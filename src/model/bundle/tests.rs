use std::fs;

use super::*;
use crate::model::testing::{TinyModels, edit, files_in, flip_byte};

fn open(models: &TinyModels) -> Result<EncoderDirectory, PrepareError> {
    let bundle = Bundle::open(&models.bundle())?;
    bundle.encoder(&bundle.manifest().encoder, models.models())
}

#[test]
fn opens_a_sound_bundle_with_its_encoder() {
    let models = TinyModels::new();

    let encoder = open(&models).unwrap();

    assert_eq!(encoder.description().kind, EncoderKind::Static);
}

#[test]
fn refuses_a_flipped_byte_in_any_file() {
    let names = files_in(&TinyModels::new().bundle());
    assert!(names.len() >= 8, "{names:?}");
    for name in names.iter().filter(|name| *name != MANIFEST_FILE) {
        let models = TinyModels::new();
        flip_byte(&models.bundle().join(name));

        let error = Bundle::open(&models.bundle()).unwrap_err();

        assert!(matches!(&error, PrepareError::Digest { file, .. } if file == name), "{name}: {error}");
        assert!(error.to_string().contains("trimtab bundle verify"), "{error}");
    }
}

#[test]
fn refuses_a_flipped_byte_in_any_file_of_the_encoder() {
    for name in ["encoder.onnx", "tokenizer.json", ENCODER_FILE] {
        let models = TinyModels::new();
        flip_byte(&models.encoder("static").join(name));

        let error = open(&models).unwrap_err();

        assert!(matches!(&error, PrepareError::Digest { file, .. } if file == name), "{name}: {error}");
    }
}

#[test]
fn refuses_a_missing_file() {
    for name in files_in(&TinyModels::new().bundle()) {
        let models = TinyModels::new();
        fs::remove_file(models.bundle().join(&name)).unwrap();

        let error = Bundle::open(&models.bundle()).unwrap_err();

        assert!(matches!(&error, PrepareError::Missing { file, .. } if *file == name), "{name}: {error}");
    }
}

#[test]
fn refuses_a_truncated_file() {
    let models = TinyModels::new();
    let path = models.bundle().join("vectors.f32");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 4]).unwrap();

    let error = Bundle::open(&models.bundle()).unwrap_err();

    assert!(matches!(&error, PrepareError::Size { file, .. } if file == "vectors.f32"), "{error}");
}

#[test]
fn refuses_paths_that_leave_the_bundle() {
    for path in ["../default/heads.onnx", "/etc/passwd", ""] {
        let models = TinyModels::new();
        edit(&models.bundle().join(MANIFEST_FILE), |manifest| manifest["files"][0]["path"] = path.into());

        let error = Bundle::open(&models.bundle()).unwrap_err();

        assert!(matches!(error, PrepareError::Path { .. }), "{path}: {error}");
    }
}

#[test]
fn refuses_foreign_schemas_before_reading_the_rest() {
    let models = TinyModels::new();
    fs::write(models.bundle().join(MANIFEST_FILE), br#"{"schema": 999, "something": "else"}"#).unwrap();

    let error = Bundle::open(&models.bundle()).unwrap_err();

    assert!(matches!(error, PrepareError::Schema { found: 999, .. }), "{error}");
}

#[test]
fn refuses_foreign_signals() {
    let models = TinyModels::new();
    edit(&models.bundle().join(MANIFEST_FILE), |manifest| manifest["signals_version"] = 999.into());

    let error = Bundle::open(&models.bundle()).unwrap_err();

    assert!(matches!(error, PrepareError::Schema { what: "signals version", .. }), "{error}");
}

#[test]
fn refuses_manifests_that_are_malformed_or_too_large() {
    let models = TinyModels::new();
    let path = models.bundle().join(MANIFEST_FILE);
    fs::write(&path, b"{").unwrap();
    assert!(matches!(Bundle::open(&models.bundle()), Err(PrepareError::Manifest { .. })));

    fs::write(&path, vec![b' '; MAX_DESCRIPTION_BYTES as usize + 1]).unwrap();
    assert!(matches!(Bundle::open(&models.bundle()), Err(PrepareError::Size { .. })));
}

#[test]
fn refuses_a_file_that_is_used_but_not_listed() {
    let models = TinyModels::new();
    edit(&models.bundle().join(MANIFEST_FILE), |manifest| {
        manifest["files"].as_array_mut().unwrap().retain(|file| file["path"] != "heads.onnx");
    });

    let error = Bundle::open(&models.bundle()).unwrap_err();

    assert!(matches!(error, PrepareError::Inconsistent { .. }), "{error}");
}

#[test]
fn refuses_an_encoder_under_another_name_and_says_where_a_missing_one_goes() {
    let models = TinyModels::new();
    let right = models.encoder("static");
    let wrong = right.with_file_name("0".repeat(64));
    fs::rename(&right, &wrong).unwrap();

    assert!(matches!(EncoderDirectory::open(&wrong), Err(PrepareError::Digest { .. })));
    let error = open(&models).unwrap_err();
    assert!(matches!(error, PrepareError::Encoder { .. }), "{error}");
    assert!(error.to_string().contains("make encoders"), "{error}");
}

#[test]
fn refuses_an_encoder_of_another_dimension() {
    let models = TinyModels::new();
    edit(&models.bundle().join(MANIFEST_FILE), |manifest| manifest["encoder"]["dimension"] = 17.into());

    let error = open(&models).unwrap_err();

    assert!(matches!(error, PrepareError::Dimension { expected: 17, found: 16, .. }), "{error}");
}
