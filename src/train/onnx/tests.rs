use super::*;
use crate::model::heads::read::{added, decode};

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

/// The same heads after labels moved them.
fn moved_heads(dimension: usize, positions: usize) -> HeadsGraph {
    let mut heads = random_heads(dimension, positions);
    let like = random_heads(dimension, positions);
    let mut landmarks = Affine::zero(dimension, 0);
    for unit in 0..6 {
        let weights: Vec<f32> = like.hidden.row(unit).iter().cycle().take(dimension).map(|w| 4.0 * w).collect();
        landmarks.push(&weights, -2.0);
    }
    let mut local = Local::identity(landmarks, positions);
    for (at, weight) in local.shift.weights.iter_mut().enumerate() {
        *weight = 0.02 * (at as f32 * 0.9).sin();
    }
    local.keep = vec![0.7; positions];
    local.slope = vec![0.9; positions];
    local.intercept = vec![-0.2; positions];
    heads.local = Some(local);
    heads
}

#[test]
fn heads_survive_writing_and_reading() {
    for heads in [random_heads(16, 5), moved_heads(16, 5)] {
        assert_eq!(decode(&encode(&heads)).unwrap(), heads);
    }
}

#[test]
fn refuses_what_is_not_such_a_graph() {
    for bytes in [&b""[..], b"nonsense", &encode(&random_heads(16, 5))[..400]] {
        assert!(decode(bytes).is_err());
    }
}

#[test]
fn a_new_position_starts_as_a_copy() {
    for mut heads in [random_heads(16, 5), moved_heads(16, 5)] {
        heads.push_like(2);

        let outputs = heads.apply(&[0.25; 16], &[1.0; SIGNALS]);

        assert_eq!(outputs.success.len(), 6);
        assert_eq!(outputs.success[5], outputs.success[2]);
    }
}

#[test]
fn heads_of_this_form_are_computed_here_and_others_by_the_runtime() {
    use crate::model::heads::runtime::Runtime;
    use crate::model::heads::{HeadInput, Heads, HeadsShape};
    for heads in [random_heads(16, 5), moved_heads(16, 5)] {
        let shape = HeadsShape { dimension: 16, tasks: TASKS, positions: 5 };
        let bytes = encode_with(&heads, 2);
        let mut here = Heads::open("heads.onnx", &bytes, shape).unwrap();
        let mut runtime = Runtime::open("heads.onnx", &bytes, shape).unwrap();
        assert!(here.is_computed_here() && here.another("heads.onnx", &bytes).unwrap().is_computed_here());

        let embedding = [0.25; 16];
        let batch = [HeadInput { embedding: &embedding, signals: &[1.0; SIGNALS] }];
        let (said, computed) = (here.score(&batch).unwrap().remove(0), runtime.score(&batch).unwrap().remove(0));
        assert!(said.success.iter().zip(&computed.success).all(|(a, b)| (a - b).abs() < 1e-4));

        // Numbers that are not the graph's own.
        let mut other = heads.clone();
        other.level[3] += 0.05;
        assert!(runtime.agrees(&heads) && !runtime.agrees(&other));
    }
}

#[test]
fn heads_whose_constants_do_not_fit_are_no_heads() {
    let damaged = |damage: fn(&mut HeadsGraph)| {
        let mut heads = moved_heads(16, 5);
        damage(&mut heads);
        decode(&encode_with(&heads, 2))
    };
    assert!(damaged(|_| ()).is_ok());
    assert!(damaged(|heads| heads.least_gain = f32::NAN).is_err());
    assert!(damaged(|heads| heads.least_gain = 0.9).is_err(), "the largest gain is 0.6");
    assert!(damaged(|heads| heads.low.push(0.0)).is_err());
    assert!(damaged(|heads| heads.local.as_mut().unwrap().keep.truncate(2)).is_err());
    assert!(damaged(|heads| heads.local.as_mut().unwrap().landmarks.push(&[0.0; 16], 0.0)).is_err());
}

#[test]
fn the_runtime_computes_what_the_heads_say() {
    computes(&random_heads(16, 5));
}

#[test]
fn the_runtime_computes_what_moved_heads_say() {
    computes(&moved_heads(16, 5));
}

fn computes(heads: &HeadsGraph) {
    use crate::model::heads::runtime::Runtime;
    use crate::model::heads::{HeadInput, HeadsShape};
    let shape = HeadsShape { dimension: 16, tasks: TASKS, positions: 5 };
    let mut session = Runtime::open("heads.onnx", &encode(heads), shape).unwrap();
    let inputs: Vec<(Vec<f32>, [f32; SIGNALS])> = (0..9)
        .map(|row| {
            let wave = |at: usize| ((row * 31 + at) as f32 * 0.61).sin();
            ((0..16).map(wave).collect(), std::array::from_fn(|at| 8.0 * wave(at + 100)))
        })
        .collect();
    let batch: Vec<HeadInput<'_>> =
        inputs.iter().map(|(embedding, signals)| HeadInput { embedding, signals }).collect();

    let found = session.score(&batch).unwrap();

    let close = |a: &[f32], b: &[f32]| {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5 * b.abs().max(1.0))
    };
    for ((embedding, signals), found) in inputs.iter().zip(&found) {
        let expected = heads.apply(embedding, signals);
        assert!(close(&found.task, &expected.task), "{:?} {:?}", found.task, expected.task);
        assert!(close(&found.success, &expected.success), "{:?} {:?}", found.success, expected.success);
        assert!(close(&[found.difficulty], &[expected.difficulty]));
        assert!(close(&found.output_tokens, &expected.output_tokens));
    }
}

#[test]
fn positions_in_steps_of_their_own_leave_the_others_as_they_are_to_the_bit() {
    for known in [random_heads(256, 54), moved_heads(256, 54)] {
        leaves_the_others_alone(&known);
    }
}

fn leaves_the_others_alone(known: &HeadsGraph) {
    use crate::model::heads::runtime::Runtime;
    use crate::model::heads::{HeadInput, HeadsShape};
    let mut more = known.clone();
    for like in [0, 7, 53] {
        more.push_like(like);
    }
    let bytes = encode_with(&more, 3);
    let inputs: Vec<(Vec<f32>, [f32; SIGNALS])> = (0..40)
        .map(|row| {
            let wave = |at: usize| ((row * 37 + at) as f32 * 0.37).sin();
            ((0..256).map(|at| wave(at) / 11.0).collect(), std::array::from_fn(|at| 4.0 * wave(at + 300)))
        })
        .collect();
    let score = |bytes: &[u8], positions: usize| {
        let mut session =
            Runtime::open("heads.onnx", bytes, HeadsShape { dimension: 256, tasks: TASKS, positions }).unwrap();
        let one =
            |(embedding, signals): &(Vec<f32>, [f32; SIGNALS])| session.score(&[HeadInput { embedding, signals }]);
        inputs.iter().map(one).map(|scored| scored.unwrap().remove(0)).collect::<Vec<_>>()
    };

    let (before, after) = (score(&encode(known), 54), score(&bytes, 57));

    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before.success, after.success[..54]);
        assert_eq!(
            (&before.task, before.difficulty, before.output_tokens),
            (&after.task, after.difficulty, after.output_tokens)
        );
        for (added, like) in [0, 7, 53].into_iter().enumerate() {
            assert!((after.success[54 + added] - before.success[like]).abs() < 1e-4);
        }
    }
    assert_eq!(decode(&bytes).unwrap(), more);
    assert_eq!((added(&bytes).unwrap(), added(&encode(known)).unwrap()), (3, 0));
}
