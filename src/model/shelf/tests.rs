use super::*;
use crate::model::testing::{TinyModels, edit, files_in, flip_byte};

fn statuses(shelf: &Shelf) -> Vec<(String, ShelfStatus)> {
    shelf.list().unwrap().into_iter().map(|listed| (listed.path, listed.status)).collect()
}

#[test]
fn the_default_serves_where_nothing_was_promoted() {
    let models = TinyModels::new();
    let shelf = Shelf::new(models.models());

    assert_eq!(shelf.current().unwrap(), models.bundle());
    assert_eq!(statuses(&shelf), [("default".to_owned(), ShelfStatus::Serving)]);
    assert!(matches!(shelf.rollback(), Err(PrepareError::NoEarlier)));
}

#[test]
fn promotes_and_rolls_back() {
    let models = TinyModels::new();
    let shelf = Shelf::new(models.models());
    let next = models.optimist("next");

    assert_eq!(shelf.promote(&next).unwrap(), "bundles/next");
    assert_eq!(shelf.history().unwrap(), ["bundles/next", "default"]);
    let listed = [("default".to_owned(), ShelfStatus::Earlier), ("bundles/next".to_owned(), ShelfStatus::Serving)];
    assert_eq!(statuses(&shelf), listed);

    assert_eq!(shelf.rollback().unwrap(), "default");
    assert_eq!(shelf.current().unwrap(), models.bundle());
    assert!(!files_in(models.models()).iter().any(|name| name.ends_with(".partial")));
}

#[test]
fn copies_a_bundle_from_elsewhere_with_its_encoder() {
    let elsewhere = TinyModels::new();
    let foreign = elsewhere.optimist("foreign");
    let models = TinyModels::new();
    let encoder = models.encoder("static");
    fs::remove_dir_all(&encoder).unwrap();
    let shelf = Shelf::new(models.models());

    assert_eq!(shelf.promote(&foreign).unwrap(), "bundles/foreign");

    drop(elsewhere);
    assert!(Bundle::open(&shelf.current().unwrap()).is_ok());
    assert!(encoder.join("encoder.onnx").is_file());
}

#[test]
fn refuses_a_damaged_bundle_and_keeps_the_current_one() {
    let models = TinyModels::new();
    let shelf = Shelf::new(models.models());
    let next = models.optimist("next");
    flip_byte(&next.join("heads.onnx"));

    assert!(matches!(shelf.promote(&next), Err(PrepareError::Digest { .. })));
    assert_eq!(shelf.history().unwrap(), ["default"]);
}

#[test]
fn refuses_another_bundle_under_a_name_that_is_taken() {
    let elsewhere = TinyModels::new();
    let foreign = elsewhere.optimist("next");
    let models = TinyModels::new();
    models.variant("next", |_| {});

    assert!(matches!(Shelf::new(models.models()).promote(&foreign), Err(PrepareError::Exists { .. })));
}

#[test]
fn refuses_names_that_leave_the_models_directory() {
    let models = TinyModels::new();
    fs::write(models.models().join(CURRENT_FILE), "../elsewhere\n").unwrap();
    assert!(matches!(Shelf::new(models.models()).current(), Err(PrepareError::Path { .. })));

    let elsewhere = TinyModels::new();
    let hostile = elsewhere.optimist("hostile");
    edit(&hostile.join(MANIFEST_FILE), |manifest| manifest["id"] = "../../out".into());
    assert!(matches!(Shelf::new(models.models()).promote(&hostile), Err(PrepareError::Path { .. })));
}

#[test]
fn lists_a_damaged_bundle_with_what_is_wrong() {
    let models = TinyModels::new();
    let broken = models.optimist("broken");
    fs::write(broken.join(MANIFEST_FILE), b"{").unwrap();

    let listed = Shelf::new(models.models()).list().unwrap();

    let broken = listed.iter().find(|listed| listed.path == "bundles/broken").unwrap();
    assert!(broken.summary.is_none() && broken.problem.is_some());
}

#[test]
fn resolves_ids_and_paths() {
    let models = TinyModels::new();
    let next = models.optimist("next");
    let shelf = Shelf::new(models.models());

    assert_eq!(shelf.resolve("next"), next);
    assert_eq!(shelf.resolve("default"), models.bundle());
    assert_eq!(shelf.resolve("/some/where"), Path::new("/some/where"));
}
