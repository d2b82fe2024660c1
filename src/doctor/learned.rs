//! The learned part: ONNX Runtime, bundles, encoders and the device.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::config::env::Environment;
use crate::config::{Config, Device};
use crate::doctor::{Check, drift};
use crate::domain::ids::TierId;
use crate::model::bundle::Bundle;
use crate::model::runtime::{self, PATH_VARIABLE, Search};
use crate::model::shelf::Shelf;

pub(super) fn checks(config: &Config, environment: &Environment) -> Vec<Check> {
    let library = library(config, environment);
    let mut checks = vec![match &library {
        Ok(path) => started(path),
        Err(check) => check.clone(),
    }];
    let models = &config.model.dir;
    checks.push(directory(models));
    let shelf = Shelf::new(models);
    let current = match &config.model.bundle {
        Some(pinned) => Ok(models.join(pinned)),
        None => shelf.current(),
    };
    match current.and_then(|place| Bundle::open(&place)) {
        Ok(bundle) => checks.extend(bundle_checks(&bundle, config)),
        Err(error) => checks.push(Check::fail(
            "bundle",
            error.to_string(),
            "without a bundle the default tier answers everything; run `trimtab bundle list`, then promote a sound one",
        )),
    }
    checks.push(device(config.model.device, library.ok().as_deref()));
    checks
}

/// Where ONNX Runtime is.
fn library(config: &Config, environment: &Environment) -> Result<PathBuf, Check> {
    let mut search = Search::of_process();
    let variable = environment.get(PATH_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
    search.explicit = config.model.runtime.clone().or(variable);
    search.locate().map_err(|missing| {
        let looked_in: Vec<String> = missing.looked_in.iter().map(|place| place.display().to_string()).collect();
        let found = format!("not found; looked in {}", looked_in.join(", "));
        Check::fail("ONNX Runtime", found, format!("run `make runtime`, or set {PATH_VARIABLE} to its library"))
    })
}

fn started(library: &Path) -> Check {
    match runtime::init(library) {
        Ok(()) => Check::ok("ONNX Runtime", library.display().to_string()),
        Err(error) => Check::fail("ONNX Runtime", error.to_string(), "run `make runtime`"),
    }
}

fn directory(models: &Path) -> Check {
    let place = models.display();
    if !models.is_dir() {
        let remedy = "start trimtab where its `models` directory is, or set model.dir";
        return Check::fail("models", format!("{place} is not a directory"), remedy);
    }
    match Shelf::new(models).list() {
        Ok(bundles) => Check::ok("models", format!("{place}: {} bundles", bundles.len())),
        Err(error) => Check::fail("models", error.to_string(), "run `trimtab bundle list`"),
    }
}

fn bundle_checks(bundle: &Bundle, config: &Config) -> Vec<Check> {
    let manifest = bundle.manifest();
    let index = manifest
        .index
        .as_ref()
        .map_or_else(|| "no neighbours".to_owned(), |index| format!("{} neighbours", index.count));
    let place = bundle.directory().display();
    let found =
        format!("{} in {place}: every digest is right; {} models known, {index}", manifest.id, manifest.models.len());
    let mut checks = vec![Check::ok("bundle", found), tiers(bundle, config)];
    checks.push(match bundle.encoder(&manifest.encoder, &config.model.dir) {
        Ok(encoder) => Check::ok("encoder", format!("{} in {}", manifest.encoder.name, encoder.directory().display())),
        Err(error) => Check::fail("encoder", error.to_string(), "restore models/encoders from the repository"),
    });
    checks.push(careful(bundle, config));
    checks.push(drift::check(bundle, config));
    checks
}

/// Whether the bundle has predictions for what is configured.
fn tiers(bundle: &Bundle, config: &Config) -> Check {
    let space = bundle.label_space();
    let known: Vec<&str> = space.tiers().iter().map(TierId::as_str).collect();
    let is_known = |tier: &crate::config::Tier| {
        let own = |target: &crate::config::Target| space.model(&target.candidate.model).is_some();
        space.tier(&tier.class).is_some() || tier.models.iter().all(own)
    };
    let unknown: BTreeSet<&str> =
        config.tiers.iter().filter(|tier| !is_known(tier)).map(|tier| tier.class.as_str()).collect();
    if unknown.is_empty() {
        return Check::ok("tiers", format!("the bundle has predictions for every tier ({})", known.join(", ")));
    }
    let unknown: Vec<&str> = unknown.into_iter().collect();
    Check::warn(
        "tiers",
        format!("the bundle has no predictions for {}", unknown.join(", ")),
        format!("set `class` of those tiers to the one each resembles: {}", known.join(", ")),
    )
}

fn careful(bundle: &Bundle, config: &Config) -> Check {
    const NAME: &str = "careful scorer";
    let Some(careful) = &bundle.manifest().careful else {
        return Check::ok(NAME, "this bundle has none; the fast scorer decides alone");
    };
    if config.model.careful_workers == 0 {
        return Check::ok(NAME, "turned off by model.careful_workers = 0");
    }
    match bundle.encoder(&careful.encoder, &config.model.dir) {
        Ok(encoder) => Check::ok(NAME, format!("{} in {}", careful.encoder.name, encoder.directory().display())),
        Err(error) => {
            Check::warn(NAME, format!("off: {error}"), "run `make encoders` for a second look at close decisions")
        }
    }
}

/// What CUDA needs and what of it is there.
enum Cuda {
    Ready,
    NoProvider,
    NoDriver,
}

/// Looks for the provider's library beside the runtime, and for a driver. Whether the two work together shows when a bundle is loaded.
fn cuda(library: Option<&Path>) -> Cuda {
    let beside = |directory: &Path| directory.join("libonnxruntime_providers_cuda.so").is_file();
    let has_driver = Path::new("/proc/driver/nvidia/version").is_file() || Path::new("/dev/nvidiactl").exists();
    match (has_driver, library.and_then(Path::parent).is_some_and(beside)) {
        (false, _) => Cuda::NoDriver,
        (true, false) => Cuda::NoProvider,
        (true, true) => Cuda::Ready,
    }
}

fn device(device: Device, library: Option<&Path>) -> Check {
    const NAME: &str = "device";
    const PROVIDER: &str = "run `make runtime-gpu`, which needs CUDA 13 and cuDNN 9";
    match (device, cuda(library)) {
        (Device::Cpu, _) => Check::ok(NAME, "the processor, as configured"),
        (Device::Auto | Device::Cuda, Cuda::Ready) => {
            Check::ok(NAME, "CUDA: a driver and ONNX Runtime's provider are there")
        }
        (Device::Auto, Cuda::NoDriver) => Check::ok(NAME, "the processor, since there is no NVIDIA driver"),
        (Device::Auto, Cuda::NoProvider) => Check::warn(
            NAME,
            "the processor: there is an NVIDIA driver, but this ONNX Runtime is without CUDA",
            PROVIDER,
        ),
        (Device::Cuda, Cuda::NoDriver) => Check::fail(
            NAME,
            "CUDA is configured, and there is no NVIDIA driver",
            "install it, or set model.device = \"auto\"",
        ),
        (Device::Cuda, Cuda::NoProvider) => {
            Check::fail(NAME, "CUDA is configured, and this ONNX Runtime is without it", PROVIDER)
        }
    }
}
