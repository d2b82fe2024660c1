//! Embedding models.

use super::*;

fn with_embedding(name: &str, upstream: &str) -> String {
    format!("{RIGHT}\n[[embeddings]]\nname = \"{name}\"\nupstream = \"{upstream}\"")
}

#[test]
fn an_embedding_model_makes_its_upstream_one_that_is_used() {
    let spare = "[upstreams.spare]\nbase_url = 'http://127.0.0.1:1'\n[upstreams.idle]\nbase_url = 'http://127.0.0.1:1'";
    let config = load_file(&format!("{}\n{spare}", with_embedding("embed", "spare"))).expect("a right file");

    assert_eq!(["openai", "spare", "idle"].map(|id| config.uses(&id.into())), [true, true, false]);
    let place = &config.embeddings[0].deployment;
    assert_eq!((place.upstream.as_str(), place.upstream_model.as_str()), ("spare", "embed"));
}

#[test]
fn embedding_models_need_names_of_their_own_that_ask_for_no_decision() {
    for name in ["auto", "auto:x", "router-a-0.1", "embed-*", "em bed", "gpt-mini"] {
        assert_eq!(only_problem(&with_embedding(name, "openai")).path, "embeddings[0].name", "{name}");
    }
    let twice = format!("{}\n[[embeddings]]\nname = \"e\"\nupstream = \"openai\"", with_embedding("e", "openai"));
    assert_eq!(only_problem(&twice).path, "embeddings[1].name");
}

#[test]
fn a_slip_of_the_pen_in_an_upstream_is_pointed_out() {
    let problem = only_problem(&with_embedding("embed", "openia"));

    assert_eq!((problem.path.as_str(), problem.fix.as_str()), ("embeddings[0].upstream", "did you mean `openai`?"));
}

#[test]
fn embeddings_are_refused_where_they_are_not_translated() {
    let keys = "access_key_id = { env = 'OPENAI_API_KEY' }\nsecret_access_key = { env = 'OPENAI_API_KEY' }";
    let bedrock = format!("kind = 'bedrock'\nregion = 'eu-west-1'\n{keys}");
    for upstream in ["kind = 'anthropic'", "kind = 'gemini'", &bedrock] {
        let file = format!("{}\n[upstreams.other]\n{upstream}", with_embedding("embed", "other"));

        let problem = only_problem(&file);

        assert_eq!(problem.path, "embeddings[0].upstream", "{upstream}");
        assert!(problem.fix.contains("openai"), "{problem}");
    }
    let azure = "[upstreams.other]\nkind = 'azure'\nbase_url = 'https://r.openai.azure.com'";
    assert!(load_file(&format!("{}\n{azure}", with_embedding("embed", "other"))).is_ok());
}
