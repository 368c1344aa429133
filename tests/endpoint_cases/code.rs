//! Endpoints that code makes, and the loader.

use crate::binding::{listen, port};
use crate::kestrel::check_error;
use crate::{Case, NEEDS_CERTIFICATES, Outcome, same};
use serde_json::Value;
use stannel::{Binding, Configuration, ConfigurationError, ListenOptions, ServerOptions, SocketHandle};

const NO_SUCH_CALL: &str = "Rust's types rule out such a call: a null, or a port beyond 16 bits";

pub(crate) fn code(case: &Case) -> Outcome {
    let text = case.input.to_string();
    if text.contains("UseHttps") || text.contains("Certificate") {
        return Outcome::Skipped(NEEDS_CERTIFICATES);
    }
    let mut options = ServerOptions::default();
    for call in case.input["calls"].as_array().into_iter().flatten() {
        match make(&mut options, call) {
            Ok(true) => {}
            Ok(false) => return Outcome::Skipped(NO_SUCH_CALL),
            Err(why) => return Outcome::Failed(why),
        }
    }
    let plan = match options.plan() {
        Ok(plan) => plan,
        Err(error) => return check_error(&error, &case.expect).into(),
    };
    check(plan.endpoints(), &case.expect).into()
}

/// `Ok(false)`: the call cannot be written.
fn make(options: &mut ServerOptions, call: &Value) -> Result<bool, String> {
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
    let (endpoint, settings) = match (call[0].as_str().unwrap_or_default(), &call[1]) {
        ("ConfigureEndpointDefaults", settings) => {
            let settings = settings.clone();
            options.configure_endpoint_defaults(move |endpoint| set(endpoint, &settings));
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
    match settings {
        Value::Null => {}
        Value::Object(_) => set(endpoint, settings),
        Value::String(text) if text == "Use(middleware)" => {
            // Both loopbacks of an endpoint are the same endpoint, so what it has stands once for each.
            endpoint.use_connection_logging();
        }
        other => return Err(format!("unknown argument {other}")),
    }
    Ok(true)
}

fn set(endpoint: &mut ListenOptions, settings: &Value) {
    if let Some(no_delay) = settings["NoDelay"].as_bool() {
        endpoint.no_delay = no_delay;
    }
}

fn check(endpoints: &[ListenOptions], expect: &Value) -> Result<(), String> {
    same("error", &None, &expect["error"].as_str())?;
    let expected = expect["endpoints"].as_array().ok_or("endpoints are expected")?;
    same("number of endpoints", &endpoints.len(), &expected.len())?;
    for (endpoint, expected) in endpoints.iter().zip(expected) {
        for (key, expected) in expected.as_object().into_iter().flatten() {
            let found = match (key.as_str(), endpoint.binding()) {
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
    if text.contains("UseHttps") || case.expect.get("certificate").is_some() {
        return Outcome::Skipped(NEEDS_CERTIFICATES);
    }
    let mut options = ServerOptions::default();
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
    let expected = numbers("endpoints_after_load").unwrap_or_default();
    same("endpoints_after_load", &ports(&options), &expected).into()
}

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
    if let ("ListenAnyIP", Some(port)) = (name, number) {
        options.listen_any_ip(port);
        return Ok(());
    }
    if let ("ListenLocalhost", Some(port)) = (name, number) {
        options.listen_localhost(port);
        return Ok(());
    }
    if name == "Configure" {
        let text = if call[1].is_null() {
            "{}".to_owned()
        } else {
            call[1].to_string()
        };
        let text = format!("{{\"Kestrel\":{text}}}");
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
    match (name, number) {
        ("LocalhostEndpoint", Some(port)) => loader.localhost_endpoint(port, |_| ()),
        ("AnyIPEndpoint", Some(port)) => loader.any_ip_endpoint(port, |_| ()),
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
