//! Endpoints that code makes, and the loader.

use crate::binding::{listen, port};
use crate::kestrel::check_error;
use crate::making::{Home, make, make_development};
use crate::{Case, Outcome, logs, same};
use serde_json::{Value, json};
use stannel::tls::ServerCertificateSelector;
use stannel::{
    Binding, CertificateSource, ClientCertificateMode, Configuration, ConfigurationError, HttpsOptions, ListenOptions,
    ServerOptions, SocketHandle,
};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

pub(crate) const NO_SUCH_CALL: &str = "Rust's types rule out such a call: a null, or a port beyond 16 bits";

/// Letters of the cases name certificates: files in this folder.
#[derive(Clone)]
struct Letters {
    folder: PathBuf,
    /// What the callback of a `UseHttps` finds set.
    saw: Arc<Mutex<Option<Option<CertificateSource>>>>,
    selectors: Arc<Mutex<Vec<(String, ServerCertificateSelector)>>>,
}

impl Letters {
    fn source(&self, letter: &str) -> CertificateSource {
        let (certificate, key) = make(letter).write_pem(&self.folder, letter);
        CertificateSource::pem(certificate, key)
    }

    fn selector(&self, letter: &str) -> ServerCertificateSelector {
        let selector = ServerCertificateSelector::new(|_, _| None);
        self.selectors
            .lock()
            .unwrap()
            .push((letter.to_owned(), selector.clone()));
        selector
    }

    /// What an endpoint shows: what its selector says, or a certificate.
    fn shown(&self, https: &HttpsOptions) -> Value {
        if let Some(selector) = &https.server_certificate_selector {
            let known = self.selectors.lock().unwrap();
            let letter = known
                .iter()
                .find(|(_, other)| other == selector)
                .map(|(letter, _)| letter);
            return Value::from(letter.map(|letter| format!("selector {letter}")));
        }
        let source = https.server_certificate.as_ref();
        source.map_or(Value::Null, |source| self.letter(source))
    }

    /// The letter of a certificate, or what it is instead.
    fn letter(&self, source: &CertificateSource) -> Value {
        let path = source.files().first().map(|path| path.to_path_buf());
        let stem = path.as_deref().and_then(Path::file_stem);
        Value::from(stem.map_or_else(|| source.to_string(), |stem| stem.to_string_lossy().into_owned()))
    }
}

pub(crate) fn code(case: &Case) -> Outcome {
    let folder = tempfile::tempdir().expect("a folder");
    let letters = Letters {
        folder: folder.path().to_owned(),
        saw: Arc::default(),
        selectors: Arc::default(),
    };
    // Whoever reads this store tells of a file that is none.
    let home = Home::new();
    if case.expect.get("error").is_none() {
        home.store_development();
    }
    fs::write(
        home.path().join(".dotnet/corefx/cryptography/x509stores/my/bad.pfx"),
        "garbage",
    )
    .expect("a file");
    let mut options = ServerOptions::default();
    options.certificate_stores = Some(home.stores());
    for call in case.input["calls"].as_array().into_iter().flatten() {
        match make_call(&mut options, call, &letters) {
            Ok(true) => {}
            Ok(false) => return Outcome::Skipped(NO_SUCH_CALL),
            Err(why) => return Outcome::Failed(why),
        }
    }
    logs::take();
    let plan = match options.plan() {
        Ok(plan) => plan,
        Err(error) => return check_error(&error, &case.expect).into(),
    };
    let searched = logs::take().iter().any(|(_, line)| line.contains("bad.pfx"));
    let saw = letters.saw.lock().unwrap().clone();
    let check_callback = || match (case.expect.get("callback_saw_certificate"), saw) {
        (None, _) => Ok(()),
        (Some(_), None) => Err("the callback was not called".to_owned()),
        (Some(expected), Some(saw)) => {
            let saw = saw.map_or(Value::Null, |source| letters.letter(&source));
            same("callback_saw_certificate", &saw, expected)
        }
    };
    check(plan.endpoints(), &case.expect, &letters, searched)
        .and_then(|()| check_callback())
        .into()
}

/// `Ok(false)`: the call cannot be written.
fn make_call(options: &mut ServerOptions, call: &Value, letters: &Letters) -> Result<bool, String> {
    let number = |value: &Value| value.as_u64().and_then(|number| u16::try_from(number).ok());
    let arguments = call.as_array().map(Vec::as_slice).unwrap_or_default();
    if arguments
        .iter()
        .any(|argument| argument.is_null() || argument.is_i64() && number(argument).is_none())
        || arguments
            .iter()
            .any(|argument| argument.is_u64() && number(argument).is_none())
    {
        return Ok(false);
    }
    if call.to_string().contains(" null)") {
        return Ok(false);
    }
    let (endpoint, settings) = match (call[0].as_str().unwrap_or_default(), &call[1]) {
        ("ConfigureEndpointDefaults", settings) => {
            let (settings, letters) = (settings.clone(), letters.clone());
            options.configure_endpoint_defaults(move |endpoint| {
                set(endpoint, &settings, &letters).expect("known settings");
            });
            return Ok(true);
        }
        ("ConfigureHttpsDefaults", settings) => {
            let (settings, letters) = (settings.clone(), letters.clone());
            options.configure_https_defaults(move |https| set_https(https, &settings, &letters));
            return Ok(true);
        }
        ("DefaultCertificate", letter) => {
            let source = letters.source(letter.as_str().ok_or("letter")?);
            let (path, key_path) = (source.files()[0], source.files()[1]);
            let text = json!({ "Kestrel": { "Certificates": { "Default": { "Path": path, "KeyPath": key_path } } } });
            let builder = Configuration::builder().add_json_text("a.json", text.to_string());
            let configuration = builder.build().map_err(|error| error.to_string())?;
            options.configure(configuration.section("Kestrel"));
            return Ok(true);
        }
        ("Listen", address) => {
            let address: std::net::IpAddr = address.as_str().and_then(|text| text.parse().ok()).ok_or("address")?;
            (options.listen(address, number(&call[2]).ok_or("port")?), &call[3])
        }
        ("ListenLocalhost", value) => (options.listen_localhost(number(value).ok_or("port")?), &call[2]),
        ("ListenAnyIP", value) => (options.listen_any_ip(number(value).ok_or("port")?), &call[2]),
        ("ListenUnixSocket", path) => (options.listen_unix_socket(path.as_str().unwrap_or_default()), &call[2]),
        ("ListenHandle", _) => {
            let socket = std::net::TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
            (options.listen_handle(SocketHandle::new(socket)), &call[2])
        }
        ("Url", url) => {
            let endpoint = options.listen_url(url.as_str().unwrap_or_default());
            (endpoint.map_err(|error| error.to_string())?, &call[2])
        }
        (other, _) => return Err(format!("unknown call {other}")),
    };
    set(endpoint, settings, letters)?;
    Ok(true)
}

/// What a call's callback sets, or calls.
fn set(endpoint: &mut ListenOptions, settings: &Value, letters: &Letters) -> Result<(), String> {
    match settings {
        Value::Null => {}
        Value::Object(settings) => {
            for (key, value) in settings {
                match (key.as_str(), value.as_bool()) {
                    ("NoDelay", Some(no_delay)) => endpoint.no_delay = no_delay,
                    _ => return Err(format!("unknown setting {key}")),
                }
            }
        }
        Value::String(text) if text == "Use(middleware)" => {
            // Both loopbacks of an endpoint are the same endpoint, so what it has stands once for each.
            endpoint.use_connection_logging();
        }
        Value::String(text) => {
            let argument = text.strip_prefix("UseHttps(").and_then(|rest| rest.strip_suffix(')'));
            match argument.ok_or_else(|| format!("unknown call {text}"))?.split_once(' ') {
                Some(("certificate", letter)) => {
                    let source = letters.source(letter);
                    endpoint.use_https(source);
                }
                Some(("options", "without certificate")) => {
                    endpoint.use_https(HttpsOptions::default());
                }
                None if text == "UseHttps()" => {
                    endpoint.use_https(());
                }
                None if text == "UseHttps(cb)" => {
                    let saw = Arc::clone(&letters.saw);
                    endpoint.use_https_with(|https| *saw.lock().unwrap() = Some(https.server_certificate.clone()));
                }
                _ => return Err(format!("unknown call {text}")),
            }
        }
        other => return Err(format!("unknown argument {other}")),
    }
    Ok(())
}

fn set_https(https: &mut HttpsOptions, settings: &Value, letters: &Letters) {
    if let Some(letter) = settings["ServerCertificate"].as_str() {
        https.server_certificate = Some(letters.source(letter));
    }
    if let Some(letter) = settings["ServerCertificateSelector"].as_str() {
        https.server_certificate_selector = Some(letters.selector(letter));
    }
    if let Some(mode) = settings["ClientCertificateMode"].as_str() {
        https.client_certificate_mode = ClientCertificateMode::from_text(mode).expect("a mode");
    }
}

fn check(endpoints: &[ListenOptions], expect: &Value, letters: &Letters, searched: bool) -> Result<(), String> {
    same("error", &None, &expect["error"].as_str())?;
    let expected = expect["endpoints"].as_array().ok_or("endpoints are expected")?;
    same("number of endpoints", &endpoints.len(), &expected.len())?;
    for (endpoint, expected) in endpoints.iter().zip(expected) {
        let https = endpoint.https();
        for (key, expected) in expected.as_object().into_iter().flatten() {
            let found = match (key.as_str(), endpoint.binding()) {
                ("https", _) => Value::from(https.is_some()),
                ("certificate", _) => https.map_or(Value::Null, |https| letters.shown(https)),
                ("ClientCertificateMode", _) => {
                    Value::from(https.map(|https| https.client_certificate_mode.to_string()))
                }
                // An endpoint has its HTTPS options once.
                ("tls_layers", _) => Value::from(u8::from(https.is_some())),
                ("development_store_searched", _) => Value::from(searched),
                ("NoDelay", _) => Value::from(endpoint.no_delay),
                ("listen", _) => Value::from(listen(endpoint)),
                ("port", _) => Value::from(port(endpoint)),
                ("path", Binding::Unix(path)) => Value::from(path.display().to_string()),
                ("reported_scheme", _) => Value::from(endpoint.scheme()),
                // Any descriptor stands for the case's number.
                ("handle", Binding::Handle(_)) => expected.clone(),
                ("middleware_on_each_loopback", _) => Value::from(endpoint.middleware().len()),
                (other, _) => return Err(format!("unknown key {other}")),
            };
            same(key, &found, expected)?;
        }
    }
    Ok(())
}

pub(crate) fn loader(case: &Case) -> Outcome {
    let text = case.input.to_string();
    if text.contains("throws") {
        return Outcome::Skipped("a callback that fails is a panic in Rust, which nobody goes on after");
    }
    let home = Home::new();
    home.store_development();
    let file = home.development_file(APPLICATION);
    fs::write(file, make_development("localhost", 6).pfx(Some("1234"))).expect("a file");
    let mut options = ServerOptions::default();
    options.certificate_stores = Some(home.stores());
    let ports =
        |options: &ServerOptions| -> Vec<u64> { options.endpoints().iter().filter_map(port).map(u64::from).collect() };
    for call in case.input["calls"].as_array().into_iter().flatten() {
        match play(&mut options, call) {
            Ok(()) => {}
            Err(Wrong::Call(why)) => return Outcome::Failed(why),
            Err(Wrong::Ruled) => return Outcome::Skipped(NO_SUCH_CALL),
            Err(Wrong::Error(error)) => return check_error(&error, &case.expect).into(),
        }
    }
    let numbers = |key: &str| -> Option<Vec<u64>> {
        let numbers = case.expect[key].as_array()?;
        Some(numbers.iter().filter_map(Value::as_u64).collect())
    };
    if let Some(expected) = numbers("endpoints_before_load") {
        let found = ports(&options);
        if found != expected {
            return Outcome::Failed(format!("before load: {found:?} instead of {expected:?}"));
        }
    }
    // What is wrong shows at the load, or where the endpoints are judged.
    if let Err(error) = options.load().and_then(|()| options.plan().map(|_| ())) {
        return check_error(&error, &case.expect).into();
    }
    if let Some(error) = case.expect["error"].as_str() {
        return Outcome::Failed(format!("no error instead of {error}"));
    }
    if let Some(expected) = numbers("endpoints_after_load") {
        let found = ports(&options);
        if found != expected {
            return Outcome::Failed(format!("after load: {found:?} instead of {expected:?}"));
        }
    }
    let Some(expected) = case.expect["certificate"].as_str() else {
        return Outcome::Passed;
    };
    let sources = |plan: stannel::EndpointPlan| -> Vec<CertificateSource> {
        let https = plan.endpoints().iter().filter_map(ListenOptions::https);
        https.filter_map(|https| https.server_certificate.clone()).collect()
    };
    let found = match options.plan().map(sources).as_deref() {
        Ok([CertificateSource::DevelopmentStore]) => "development-store",
        Ok([CertificateSource::DevelopmentFile { .. }]) => "development-file",
        Ok([CertificateSource::File { .. }]) => "file",
        other => return Outcome::Failed(format!("{other:?} instead of {expected}")),
    };
    same("certificate", &found, &expected).into()
}

/// The name in whose file the development certificate is.
const APPLICATION: &str = "LoaderCases";

enum Wrong {
    Call(String),
    /// It cannot be written in Rust.
    Ruled,
    Error(ConfigurationError),
}

fn play(options: &mut ServerOptions, call: &Value) -> Result<(), Wrong> {
    let name = call[0].as_str().unwrap_or_default();
    if name == "Load" {
        return options.load().map_err(Wrong::Error);
    }
    let number = call[1].as_u64().and_then(|number| u16::try_from(number).ok());
    let https = call
        .as_array()
        .is_some_and(|call| call.iter().any(|argument| argument == "UseHttps()"));
    let made = match (name, number) {
        ("ListenAnyIP", Some(port)) => Some(options.listen_any_ip(port)),
        ("ListenLocalhost", Some(port)) => Some(options.listen_localhost(port)),
        _ => None,
    };
    if let Some(endpoint) = made {
        if https {
            endpoint.use_https(());
        }
        return Ok(());
    }
    if name == "Configure" {
        let text = if call[1].is_null() {
            "{}".to_owned()
        } else {
            call[1].to_string()
        };
        let text = format!("{{\"applicationName\":\"{APPLICATION}\",\"Kestrel\":{text}}}");
        let configuration = Configuration::builder()
            .add_json_text("a.json", text)
            .build()
            .map_err(Wrong::Error)?;
        options.configure(configuration.section("Kestrel"));
        return Ok(());
    }
    if call.as_array().into_iter().flatten().any(Value::is_null) {
        return Err(Wrong::Ruled);
    }
    let address = call[1].as_str().and_then(|text| text.parse::<std::net::IpAddr>().ok());
    let loader = options
        .loader_mut()
        .ok_or_else(|| Wrong::Call("no loader".to_owned()))?;
    let configure = move |endpoint: &mut ListenOptions| {
        if https {
            endpoint.use_https(());
        }
    };
    match (name, number) {
        ("LocalhostEndpoint", Some(port)) => loader.localhost_endpoint(port, configure),
        ("AnyIPEndpoint", Some(port)) => loader.any_ip_endpoint(port, configure),
        ("UnixSocketEndpoint", _) => loader.unix_socket_endpoint(call[1].as_str().unwrap_or_default(), |_| ()),
        ("HandleEndpoint", _) => {
            let socket = std::net::TcpListener::bind("127.0.0.1:0").map_err(|error| Wrong::Call(error.to_string()))?;
            loader.handle_endpoint(SocketHandle::new(socket), |_| ())
        }
        ("Endpoint", _) if address.is_some() => {
            let port = call[2].as_u64().and_then(|port| u16::try_from(port).ok());
            let (Some(address), Some(port)) = (address, port) else {
                return Err(Wrong::Ruled);
            };
            loader.address_endpoint(std::net::SocketAddr::new(address, port), |_| ())
        }
        ("Endpoint", _) => loader.endpoint(call[1].as_str().unwrap_or_default(), |_| ()),
        _ => return Err(Wrong::Call(format!("unknown call {name}"))),
    };
    Ok(())
}
