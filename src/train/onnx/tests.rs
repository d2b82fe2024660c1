use super::*;

/// Heads with random weights.
pub(crate) fn random_heads(dimension: usize, positions: usize) -> HeadsGraph {
    use rand::{Rng, SeedableRng};
    let mut random = rand::rngs::StdRng::seed_from_u64(11);
    let mut affine = |inputs: usize, outputs: usize| Affine {
        inputs,
        weights: (0..inputs * outputs).map(|_| random.random_range(-0.2..0.2)).collect(),
        bias: (0..outputs).map(|_| random.random_range(-0.2..0.2)).collect(),
    };
    let inputs = dimension + SIGNALS;
    HeadsGraph {
        hidden: affine(inputs, 7),
        task: affine(7, TASKS),
        outputs: affine(inputs + TASKS, FIXED_OUTPUTS + positions),
        place: (0..positions).map(|at| at as f32 / positions as f32 - 0.5).collect(),
        level: vec![0.1; positions],
        high: vec![6.0; SIGNALS],
        ..HeadsGraph::blank(dimension, positions)
    }
}

#[test]
fn heads_survive_writing_and_reading() {
    let heads = random_heads(16, 5);

    assert_eq!(decode(&encode(&heads)).unwrap(), heads);
}

#[test]
fn refuses_what_is_not_such_a_graph() {
    for bytes in [&b""[..], b"nonsense", &encode(&random_heads(16, 5))[..400]] {
        assert!(decode(bytes).is_err());
    }
}

#[test]
fn a_new_position_starts_as_a_copy() {
    let mut heads = random_heads(16, 5);
    heads.push_like(2);

    let outputs = heads.apply(&[0.25; 16], &[1.0; SIGNALS]);

    assert_eq!(outputs.success.len(), 6);
    assert_eq!(outputs.success[5], outputs.success[2]);
}
