use super::*;
use crate::domain::ids::{ModelName, TierId};
use crate::train::outcomes::OutcomeRow;

fn outcomes(models: &[&str], rows: &[(u32, u32, f32)]) -> Outcomes {
    let row = |&(prompt, model, score): &(u32, u32, f32)| {
        let (weight, output_tokens, cost_usd) = (1.0, f32::NAN, f32::NAN);
        OutcomeRow { prompt, model, score, weight, output_tokens, cost_usd }
    };
    let prompt = |at: u32| outcomes::PromptRow {
        id: at.to_string().into(),
        text: "t".into(),
        stem: u64::from(at),
        dataset: 0,
        task: None,
        group: 0,
    };
    Outcomes {
        prompts: (0..4).map(prompt).collect(),
        models: models.iter().map(|model| (*model).to_owned()).collect(),
        rows: rows.iter().map(row).collect(),
        ..Outcomes::default()
    }
}

#[test]
fn a_prompt_counts_if_both_models_answered_it() {
    let outcomes = outcomes(&["a", "b"], &[(0, 0, 1.0), (0, 1, 0.5), (1, 0, 1.0), (3, 1, 0.0), (3, 0, 0.25)]);

    assert_eq!(pairs(&outcomes, 0, 1), [(0, 1.0, 0.5), (3, 0.25, 0.0)]);
}

#[test]
fn a_model_is_found_by_any_of_its_names() {
    let mut outcomes = outcomes(&["mixtral-8x7b"], &[]);
    outcomes.aliases.insert("mistralai/Mixtral-8x7B-Instruct".to_owned(), "mixtral-8x7b".to_owned());

    for name in ["mixtral-8x7b", "mistralai/Mixtral-8x7B-Instruct", "x/MIXTRAL-8x7b"] {
        assert_eq!(find(&outcomes, name).unwrap(), 0, "{name}");
    }
    assert!(find(&outcomes, "other").unwrap_err().to_string().contains("mixtral-8x7b"));
}

#[test]
fn a_model_the_bundle_does_not_know_is_judged_by_its_tier() {
    let space = LabelSpace::new(
        ["small", "medium", "large"].map(TierId::from).to_vec(),
        vec![ModelName::from("Org/Known"), ModelName::from("other")],
    );
    let outcomes = outcomes(&["known", "stranger"], &[]);

    let judges = Judges::of(&space, (&outcomes, 0, 1));
    let swapped = Judges::of(&space, (&outcomes, 1, 0));

    assert_eq!((judges.weak, judges.strong), (3, 2));
    assert_eq!((swapped.weak, swapped.strong), (0, 3));
    assert_eq!(judges.strong_name, "tier large");
}
