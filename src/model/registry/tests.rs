use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;
use crate::domain::prompt::Prompt;
use crate::model::index::FreshItem;
use crate::model::testing::{TinyModels, flip_byte};

fn serving(registry: &Registry) -> String {
    registry.current().unwrap().id().to_string()
}

#[test]
fn activates_keeps_the_old_one_and_goes_back() {
    let models = TinyModels::new();
    let registry = Registry::new();
    assert!(registry.current().is_none() && registry.rollback().is_none());

    assert_eq!(registry.activate(models.prepared(&models.bundle())), None);
    assert_eq!(registry.activate(models.prepared(&models.optimist("next"))), Some("tiny".into()));
    assert_eq!(serving(&registry), "next");

    assert_eq!(registry.rollback(), Some("tiny".into()));
    assert_eq!(serving(&registry), "tiny");
    assert_eq!(registry.rollback(), Some("next".into()));
}

#[test]
fn a_refused_bundle_leaves_the_old_generation_serving() {
    let models = TinyModels::new();
    let registry = Registry::new();
    registry.activate(models.prepared(&models.bundle()));
    let damages: [fn(&Path); 3] = [
        |bundle| flip_byte(&bundle.join("heads.onnx")),
        |bundle| fs::remove_file(bundle.join("vectors.f32")).unwrap(),
        |bundle| fs::write(bundle.join("manifest.json"), b"{").unwrap(),
    ];

    for (number, damage) in damages.into_iter().enumerate() {
        let bundle = models.optimist(&format!("damaged-{number}"));
        damage(&bundle);

        assert!(Prepared::new(&models.settings(&bundle)).is_err());

        assert_eq!(serving(&registry), "tiny");
        assert!(registry.current().unwrap().score(&Prompt::from_ask("what is it?")).is_ok());
    }
}

#[test]
fn swapping_under_load_drops_nothing_and_each_request_sees_one_generation() {
    let models = TinyModels::new();
    let registry = Registry::new();
    let bundles = [models.prepared(&models.bundle()), models.prepared(&models.optimist("next"))];
    let prompt = Prompt::from_ask("what is the capital?");
    let expected: Vec<_> = bundles.iter().map(|bundle| bundle.generation().score(&prompt).unwrap().success).collect();
    assert_ne!(expected[0], expected[1]);
    registry.activate(bundles[0].clone());
    let (done, scored) = (AtomicBool::new(false), AtomicUsize::new(0));

    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    let generation = registry.current().expect("something serves at every moment");
                    let scores = generation.score(&prompt).expect("no request fails");
                    let which = usize::from(generation.learned().bundle.as_str() == "next");
                    assert_eq!(scores.success, expected[which], "the answer is of the generation that was taken");
                    scored.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        for swap in 0..200 {
            registry.activate(bundles[swap % 2].clone());
            let seen = scored.load(Ordering::SeqCst);
            while scored.load(Ordering::SeqCst) == seen {
                std::thread::yield_now();
            }
        }
        done.store(true, Ordering::SeqCst);
    });

    assert!(scored.load(Ordering::SeqCst) >= 200);
}

#[test]
fn fresh_feedback_moves_to_the_next_generation_unless_it_was_trained_on() {
    let models = TinyModels::new();
    let registry = Registry::new();
    registry.activate(models.prepared(&models.bundle()));
    let current = registry.current().unwrap();
    let scores = current.score(&Prompt::from_ask("what is the capital of the country?")).unwrap();
    let known = scores.neighbourhood.neighbours[0].item.clone();
    for id in [known, "new".into()] {
        let (embedding, labels) = (scores.embedding.clone(), vec![(0, 1.0)].into());
        assert!(current.add_feedback(FreshItem { id, embedding, labels, caller: "c".into() }));
    }

    registry.activate(models.prepared(&models.optimist("next")));

    let items = registry.current().unwrap().index().fresh_items();
    assert_eq!(items.iter().map(|item| item.id.as_str()).collect::<Vec<_>>(), ["new"]);
}
