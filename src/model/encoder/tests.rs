use super::*;
use crate::model::testing::TinyModels;

fn open(kind: &str, device: Device) -> Result<Encoder, PrepareError> {
    let models = TinyModels::new();
    Encoder::open(&EncoderDirectory::open(&models.encoder(kind)).unwrap(), device)
}

#[test]
fn a_batch_gives_what_single_texts_give() {
    for kind in ["static", "transformer"] {
        let mut encoder = open(kind, Device::Cpu).unwrap();
        let texts: [&[i64]; 4] = [&[2, 10, 11, 3], &[7], &[], &[80, 90, 100, 110, 120, 130]];

        let together = encoder.embed(&texts).unwrap();

        for (tokens, embedding) in texts.iter().zip(together) {
            let alone = encoder.embed(&[tokens]).unwrap().pop().unwrap();
            assert_eq!(embedding.is_some(), !tokens.is_empty(), "{kind}");
            let (Some(embedding), Some(alone)) = (embedding, alone) else { continue };
            assert!(embedding.cosine(&alone) > 0.9999, "{kind} {tokens:?}");
            assert!((embedding.cosine(&embedding) - 1.0).abs() < 1e-5);
        }
    }
}

#[test]
fn a_static_encoder_is_computed_here_and_gives_what_the_runtime_gives() {
    let models = TinyModels::new();
    let directory = EncoderDirectory::open(&models.encoder("static")).unwrap();
    let bytes = directory.read(GRAPH_FILE).unwrap();
    let mut encoder = Encoder::from_bytes(&directory, Device::Cpu, &bytes).unwrap();
    let (mut runtime, _) = Runtime::open(&bytes, Device::Cpu, encoder.dimension()).unwrap();
    assert!(encoder.is_computed_here() && encoder.another(Device::Cpu, &bytes).unwrap().is_computed_here());
    assert!(!open("transformer", Device::Cpu).unwrap().is_computed_here());

    for tokens in [&[7_i64][..], &[2, 10, 11, 3], &[80, 90, 100, 110, 120, 130, 140]] {
        let (here, there) = (encoder.embed(&[tokens]).unwrap(), runtime.embed(&[tokens]).unwrap());
        let (here, there) = (here[0].as_ref().unwrap(), there[0].as_ref().unwrap());
        assert!(here.as_slice().iter().zip(there.as_slice()).all(|(a, b)| (a - b).abs() < 1e-5), "{tokens:?}");
    }
}

#[test]
fn a_table_that_says_other_than_its_graph_is_left_to_the_runtime() {
    let models = TinyModels::new();
    let directory = EncoderDirectory::open(&models.encoder("static")).unwrap();
    let bytes = directory.read(GRAPH_FILE).unwrap();
    let dimension = directory.description().dimension;
    let (mut runtime, _) = Runtime::open(&bytes, Device::Cpu, dimension).unwrap();
    let table = || Table::read(&bytes, dimension).unwrap();

    assert!(runtime.agrees(&table()));
    assert!(!runtime.agrees(&table().with_other_scales()));
    assert!(Table::read(&bytes, dimension + 1).is_none(), "rows of another length");
    assert!(Table::read(b"nonsense", dimension).is_none());
}

#[test]
fn a_foreign_dimension_is_refused() {
    let models = TinyModels::new();
    let directory = EncoderDirectory::open(&models.encoder("static")).unwrap();
    let transformer = EncoderDirectory::open(&models.encoder("transformer")).unwrap();
    let foreign = transformer.read(GRAPH_FILE).unwrap();

    let error = Encoder::from_bytes(&directory, Device::Cpu, &foreign).unwrap_err();

    assert!(matches!(error, PrepareError::Dimension { expected: 16, found: 8, .. }), "{error}");
}

#[test]
fn a_file_that_is_no_graph_is_refused() {
    let models = TinyModels::new();
    let directory = EncoderDirectory::open(&models.encoder("static")).unwrap();

    let error = Encoder::from_bytes(&directory, Device::Cpu, b"not a graph").unwrap_err();

    assert!(matches!(error, PrepareError::Graph { .. }), "{error}");
}

#[test]
fn a_device_that_is_not_there_is_an_error_if_asked_for_and_a_remark_if_not() {
    match open("transformer", Device::Cuda) {
        Ok(encoder) => assert_eq!(*encoder.placement(), Placement::Cuda),
        Err(error) => {
            assert!(matches!(error, PrepareError::Device { .. }), "{error}");
            assert!(error.to_string().contains("make runtime-gpu"), "{error}");
            let encoder = open("transformer", Device::Auto).unwrap();
            assert!(matches!(encoder.placement(), Placement::CpuInsteadOfCuda { .. }), "{:?}", encoder.placement());
        }
    }
}

#[test]
fn a_static_encoder_stays_on_the_processor() {
    assert_eq!(*open("static", Device::Cuda).unwrap().placement(), Placement::Cpu);
}
