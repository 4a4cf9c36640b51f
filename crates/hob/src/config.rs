//! Settings from the environment, read once and here only. [`resolve`] is a pure function of the
//! variables, so that tests need no environment.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use crate::terminal::Looks;

/// What each variable does, as the help documents it. Sorted.
pub(crate) const VARIABLES: &[(&str, &str)] = &[
    ("ALL_PROXY", "proxy for downloads, where HTTPS_PROXY says none"),
    ("HF_ENDPOINT", "model hub to download from [default: https://huggingface.co]"),
    ("HF_HOME", "Hugging Face's folder; its `hub` is searched for models"),
    ("HF_HUB_CACHE", "Hugging Face's folder of models, where it is not $HF_HOME/hub"),
    ("HOB_HOME", "hob's folder [default: $XDG_DATA_HOME/hob or ~/.local/share/hob]"),
    ("HOB_LOG", "what to log to stderr, e.g. `debug` or `store=trace` [default: warn]"),
    ("HOME", "the folder where programs keep their models"),
    ("HTTPS_PROXY", "proxy for downloads"),
    ("NO_COLOR", "no colours, if set to anything"),
    ("OLLAMA_MODELS", "Ollama's folder of models"),
    ("PATH", "where python3 is looked for, for the package source"),
    ("TERM", "`dumb` means no colours and no bars"),
    ("XDG_DATA_HOME", "base of hob's folder"),
];

const HUB_ENDPOINT_DEFAULT: &str = "https://huggingface.co";

/// The variables that matter, by name; empty ones count as unset.
pub(crate) type Variables = BTreeMap<String, String>;

/// All that the environment says.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// For the roof.
    pub(crate) app: app::Config,
    /// `$NO_COLOR`, and what `$TERM` can do.
    pub(crate) looks: Looks,
    /// Filter of the log.
    pub(crate) log: String,
}

/// Reads the variables of this process.
///
/// # Errors
/// When one of them is not UTF-8.
pub(crate) fn variables() -> anyhow::Result<Variables> {
    let proxies = ["https_proxy", "all_proxy"];
    let names = VARIABLES.iter().map(|(name, _)| *name).chain(proxies);
    let mut variables = Variables::new();
    for name in names {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
        let value = std::env::var_os(name);
        let Some(value) = value.filter(|value| !value.is_empty()) else { continue };
        let value = value.into_string().ok();
        let value = value.with_context(|| format!("${name} is not valid UTF-8: change it"))?;
        variables.insert(name.to_owned(), value);
    }
    Ok(variables)
}

/// The settings that `variables` mean. `is_file` tells whether a program exists.
///
/// # Errors
/// When no folder for hob can be named, or the hub's address is no web address.
pub(crate) fn resolve(
    variables: &Variables,
    offline: bool,
    is_file: &dyn Fn(&Path) -> bool,
) -> anyhow::Result<Settings> {
    let get = |name: &str| variables.get(name).cloned();
    let path = |name: &str| variables.get(name).map(PathBuf::from);
    let user_home = path("HOME");
    let home = path("HOB_HOME")
        .or_else(|| path("XDG_DATA_HOME").filter(|p| p.is_absolute()).map(|p| p.join("hob")))
        .or_else(|| user_home.as_ref().map(|home| home.join(".local/share/hob")))
        .context("there is no folder for models: set HOB_HOME to one")?;
    let endpoint = get("HF_ENDPOINT").unwrap_or_else(|| HUB_ENDPOINT_DEFAULT.to_owned());
    let hub_endpoint = endpoint.trim_end_matches('/').to_owned();
    ensure!(
        hub_endpoint.starts_with("https://") || hub_endpoint.starts_with("http://"),
        "HF_ENDPOINT is `{endpoint}`: give an address that begins with https:// or http://"
    );
    let config = app::Config {
        home,
        hugging_face_cache: path("HF_HUB_CACHE")
            .or_else(|| path("HF_HOME").map(|folder| folder.join("hub"))),
        ollama_models: path("OLLAMA_MODELS"),
        hub_endpoint,
        proxy: ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"].into_iter().find_map(get),
        python: variables.get("PATH").and_then(|path| find_python(path, is_file)),
        user_home,
        offline,
    };
    let looks = if variables.get("TERM").is_some_and(|term| term == "dumb") {
        Looks::Dumb
    } else if variables.contains_key("NO_COLOR") {
        Looks::NoColours
    } else {
        Looks::Full
    };
    Ok(Settings { app: config, looks, log: get("HOB_LOG").unwrap_or_else(|| "warn".to_owned()) })
}

fn find_python(path: &str, is_file: &dyn Fn(&Path) -> bool) -> Option<String> {
    // `python3` anywhere on the path comes before `python`, which may be version 2.
    let mut found = ["python3", "python"]
        .into_iter()
        .flat_map(|program| std::env::split_paths(path).map(move |folder| folder.join(program)));
    found.find(|file| is_file(file)).and_then(|file| file.into_os_string().into_string().ok())
}

#[cfg(test)]
mod tests {
    use super::{Settings, VARIABLES, Variables, resolve};
    use crate::terminal::Looks;
    use std::path::Path;

    fn settings(variables: &[(&str, &str)]) -> anyhow::Result<Settings> {
        let owned = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        resolve(&owned.collect::<Variables>(), false, &|file| {
            file == Path::new("/b/python3") || file == Path::new("/a/python")
        })
    }

    fn home(variables: &[(&str, &str)]) -> String {
        settings(variables).unwrap().app.home.display().to_string()
    }

    #[test]
    fn home_is_the_first_that_is_named() {
        let all = [("HOB_HOME", "/h"), ("XDG_DATA_HOME", "/x"), ("HOME", "/u")];
        assert_eq!(home(&all), "/h");
        assert_eq!(home(&all[1..]), "/x/hob");
        assert_eq!(home(&all[2..]), "/u/.local/share/hob");
        // The XDG standard says that relative ones are to be ignored.
        assert_eq!(home(&[("XDG_DATA_HOME", "x"), ("HOME", "/u")]), "/u/.local/share/hob");
        let error = settings(&[]).unwrap_err().to_string();
        assert_eq!(error, "there is no folder for models: set HOB_HOME to one");
    }

    #[test]
    fn hub_and_caches() {
        let plain = settings(&[("HOME", "/u")]).unwrap().app;
        assert_eq!(plain.hub_endpoint, "https://huggingface.co");
        assert_eq!((plain.hugging_face_cache, plain.ollama_models), (None, None));
        let set = settings(&[
            ("HOME", "/u"),
            ("HF_HOME", "/hf"),
            ("HF_ENDPOINT", "http://127.0.0.1:9/"),
            ("OLLAMA_MODELS", "/o"),
        ]);
        let set = set.unwrap().app;
        assert_eq!(set.hub_endpoint, "http://127.0.0.1:9");
        assert_eq!(set.hugging_face_cache.as_deref(), Some(Path::new("/hf/hub")));
        assert_eq!(set.ollama_models.as_deref(), Some(Path::new("/o")));
        let both = settings(&[("HOME", "/u"), ("HF_HOME", "/hf"), ("HF_HUB_CACHE", "/c")]);
        assert_eq!(both.unwrap().app.hugging_face_cache.as_deref(), Some(Path::new("/c")));
        let error = settings(&[("HOME", "/u"), ("HF_ENDPOINT", "ftp://x")]).unwrap_err();
        assert!(error.to_string().contains("`ftp://x`"), "{error}");
    }

    #[test]
    fn proxy_and_python() {
        let both = settings(&[("HOME", "/u"), ("ALL_PROXY", "a"), ("https_proxy", "h")]);
        assert_eq!(both.unwrap().app.proxy.as_deref(), Some("h"));
        let python = |path| settings(&[("HOME", "/u"), ("PATH", path)]).unwrap().app.python;
        assert_eq!(python("/a:/b").as_deref(), Some("/b/python3"));
        assert_eq!(python("/a").as_deref(), Some("/a/python"));
        assert_eq!(python("/c"), None);
    }

    #[test]
    fn plain_terminals() {
        let looks = |name, value| settings(&[("HOME", "/u"), (name, value)]).unwrap().looks;
        assert_eq!(looks("TERM", "xterm"), Looks::Full);
        assert_eq!(looks("TERM", "dumb"), Looks::Dumb);
        assert_eq!(looks("NO_COLOR", "1"), Looks::NoColours);
    }

    #[test]
    fn variables_are_sorted() {
        assert!(VARIABLES.is_sorted());
    }
}
