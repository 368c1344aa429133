//! What is refused, in which words, and what comes of the commands in them.

use crate::workshop::Workshop;
use crate::{NAME, PASSWORD, load, serve};

/// What is asked for: file, file of the key, password.
type Asked = (&'static str, Option<&'static str>, Option<&'static str>);

/// What follows from a message.
enum Then {
    /// It has no command.
    Nothing,
    /// The commands succeed, and show something.
    Look(&'static [&'static str]),
    /// The commands fail, and say why.
    Fail(&'static [&'static str]),
    /// After the commands this serves.
    Serve(&'static [&'static str], Asked),
    /// The command makes a key, and a certificate for it serves.
    Issue(&'static str),
}
use Then::{Fail, Issue, Look, Nothing, Serve};

const KEY: Option<&str> = Some("p256.key");
const NEW: Asked = ("p256.pem", Some("new.key"), PASSWORD);
const EXPORT: &str = "openssl pkcs12 -export -in CERTIFICATE.pem -inkey KEY.pem -out BOTH.pfx";
const BOTH: Asked = ("BOTH.pfx", None, PASSWORD);
const OPEN_PFX: &str = "openssl pkcs12 -in default.pfx -noout -info";
const OPEN_KEY: &str = "openssl pkey -in aes-256.key -noout";
const NEW_KEY: &str = "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out new.key";
const PROVIDER: &str = if cfg!(feature = "aws-lc-rs") {
    "aws-lc-rs"
} else {
    "ring"
};

const REFUSED: &[(Asked, &str, Then)] = &[
    // Files that are no certificates.
    (
        ("garbage.pem", KEY, None),
        "garbage.pem cannot be used as a certificate: it is neither PEM nor DER nor PFX",
        Nothing,
    ),
    (
        ("empty.pem", KEY, None),
        "empty.pem cannot be used as a certificate: it is empty",
        Nothing,
    ),
    (
        ("huge.pem", KEY, None),
        "huge.pem has more than 1048576 bytes; name the file of a certificate or key",
        Nothing,
    ),
    (
        ("folder.pem", KEY, None),
        "cannot read folder.pem: it is not a file; name the file itself",
        Nothing,
    ),
    (
        ("pipe.pem", KEY, None),
        "cannot read pipe.pem: it is not a file; name the file itself",
        Nothing,
    ),
    (
        ("absent.pem", KEY, None),
        "cannot read absent.pem: there is no such file; relative paths begin at the content root",
        Nothing,
    ),
    (
        ("absent/a.pem", KEY, None),
        "cannot read absent/a.pem: there is no such file; relative paths begin at the content root",
        Nothing,
    ),
    (
        ("cut.pem", KEY, None),
        "cut.pem cannot be used as a certificate: its section CERTIFICATE number 1: its END line is missing; try \
         openssl x509 -in cut.pem -noout",
        Fail(&["openssl x509 -in cut.pem -noout"]),
    ),
    (
        ("star.pem", KEY, None),
        "star.pem cannot be used as a certificate: its section CERTIFICATE number 1: it is no base64 \
         (InvalidCharacter(42)); try openssl x509 -in star.pem -noout",
        Fail(&["openssl x509 -in star.pem -noout"]),
    ),
    (
        ("cut.crt", KEY, None),
        "cut.crt cannot be used as a certificate: the certificate is damaged (ASN.1 DER message is incomplete: \
         expected 201, actual 200 at DER byte 200); try openssl x509 -inform DER -in cut.crt -noout",
        Fail(&["openssl x509 -inform DER -in cut.crt -noout"]),
    ),
    (
        ("p256.csr", KEY, None),
        "p256.csr cannot be used as a certificate: it holds a request for a certificate; name the file of what \
         the authority made of it",
        Nothing,
    ),
    (
        ("public.key", KEY, None),
        "public.key cannot be used as a certificate: it has no section CERTIFICATE",
        Nothing,
    ),
    (
        ("p256.key", Some("p256.pem"), None),
        "p256.key cannot be used as a certificate: it holds a private key and no certificate; name the file of \
         the certificate",
        Nothing,
    ),
    (
        ("trusted.pem", KEY, None),
        "trusted.pem cannot be used as a certificate: it has no section CERTIFICATE, but one of OpenSSL's own; \
         write it anew: openssl x509 -in trusted.pem -out new.pem",
        Serve(&["openssl x509 -in trusted.pem -out new.pem"], ("new.pem", KEY, None)),
    ),
    (
        ("x509.pem", KEY, None),
        "x509.pem cannot be used as a certificate: it has no section CERTIFICATE, but one of OpenSSL's own; write \
         it anew: openssl x509 -in x509.pem -out new.pem",
        Serve(&["openssl x509 -in x509.pem -out new.pem"], ("new.pem", KEY, None)),
    ),
    (
        ("bundle.p7b", KEY, None),
        "bundle.p7b is not supported: a PKCS#7 bundle; take the certificates out: openssl pkcs7 -inform PEM -in \
         bundle.p7b -print_certs -out new.pem",
        Serve(
            &["openssl pkcs7 -inform PEM -in bundle.p7b -print_certs -out new.pem"],
            ("new.pem", KEY, None),
        ),
    ),
    (
        ("bundle-der.p7b", KEY, None),
        "bundle-der.p7b is not supported: a PKCS#7 bundle; take the certificates out: openssl pkcs7 -inform DER \
         -in bundle-der.p7b -print_certs -out new.pem",
        Serve(
            &["openssl pkcs7 -inform DER -in bundle-der.p7b -print_certs -out new.pem"],
            ("new.pem", KEY, None),
        ),
    ),
    (
        ("client.pem", Some("client.key"), None),
        "the certificate CN=files.stannel.test (THUMBPRINT) is not for servers: its extended key usage is \
         1.3.6.1.5.5.7.3.2 and lacks server authentication (1.3.6.1.5.5.7.3.1); request one with \
         extendedKeyUsage=serverAuth",
        Nothing,
    ),
    // No key.
    (
        ("p256.pem", None, None),
        "p256.pem has no private key for its certificate CN=files.stannel.test (THUMBPRINT); give the file of the \
         key, too (KeyPath), or put both into a PFX: openssl pkcs12 -export -in CERTIFICATE.pem -inkey KEY.pem \
         -out BOTH.pfx",
        Serve(&[EXPORT], BOTH),
    ),
    (
        ("der.crt", None, None),
        "der.crt has no private key for its certificate CN=files.stannel.test (THUMBPRINT); give the file of the \
         key, too (KeyPath), or put both into a PFX: openssl pkcs12 -export -in CERTIFICATE.pem -inkey KEY.pem \
         -out BOTH.pfx",
        Serve(&[EXPORT], BOTH),
    ),
    (
        ("both.pem", None, None),
        "both.pem has no private key for its certificate CN=files.stannel.test (THUMBPRINT); the key stands in \
         the same file: give both.pem as the file of the key, too (KeyPath)",
        Serve(&[], ("both.pem", Some("both.pem"), None)),
    ),
    (
        ("no-key.pfx", None, PASSWORD),
        "no-key.pfx has no private key for its certificate CN=files.stannel.test (THUMBPRINT); export it together \
         with its key: openssl pkcs12 -export -in CERTIFICATE.pem -inkey KEY.pem -out BOTH.pfx",
        Serve(&[EXPORT], BOTH),
    ),
    (
        ("no-certificate.pfx", None, PASSWORD),
        "no-certificate.pfx cannot be used as a certificate: it holds a private key and no certificate; put both \
         into it: openssl pkcs12 -export -in CERTIFICATE.pem -inkey KEY.pem -out BOTH.pfx",
        Serve(&[EXPORT], BOTH),
    ),
    // Another key.
    (
        ("p256.pem", Some("other.key"), None),
        "other.key cannot be used as a private key: it does not belong to the certificate CN=files.stannel.test \
         (THUMBPRINT): their public keys differ, compare openssl pkey -in other.key -pubout with openssl x509 -in \
         CERTIFICATE -noout -pubkey",
        Look(&[
            "openssl pkey -in other.key -pubout",
            "openssl x509 -in CERTIFICATE -noout -pubkey",
        ]),
    ),
    (
        ("leaf-last.pem", KEY, None),
        "p256.key cannot be used as a private key: it does not belong to the first certificate, CN=outer, but to \
         number 3, CN=files.stannel.test; the server's own certificate has to stand first: move it to the top of \
         its file",
        Serve(&[], ("chain.pem", KEY, None)),
    ),
    (
        ("p256.pem", Some("rsa2048.key"), None),
        "rsa2048.key cannot be used as a private key: it is of another kind (RSA) than its certificate's (ECDSA \
         P-256), CN=files.stannel.test",
        Nothing,
    ),
    (
        ("rsa2048.pem", KEY, None),
        "p256.key cannot be used as a private key: it is of another kind (ECDSA) than its certificate's (RSA \
         2048), CN=files.stannel.test",
        Nothing,
    ),
    (
        ("default.pfx", KEY, PASSWORD),
        "p256.key cannot be used as a private key: default.pfx is a PFX, which has its key inside; give no file \
         for the key",
        Serve(&[], ("default.pfx", None, PASSWORD)),
    ),
    // Files that are no keys.
    (
        ("p256.pem", Some("public.key"), None),
        "public.key cannot be used as a private key: it holds a public key; name the file of the private one",
        Nothing,
    ),
    (
        ("p256.pem", Some("p256.pem"), None),
        "p256.pem cannot be used as a private key: it holds a certificate and no key; name the file of the key",
        Nothing,
    ),
    (
        ("p256.pem", Some("p256.csr"), None),
        "p256.csr cannot be used as a private key: it holds CERTIFICATE REQUEST and no private key",
        Nothing,
    ),
    (
        ("p256.pem", Some("default.pfx"), PASSWORD),
        "default.pfx cannot be used as a private key: it is a PFX, which has a certificate inside; name it as the \
         file of the certificate, and give no file for the key",
        Serve(&[], ("default.pfx", None, PASSWORD)),
    ),
    (
        ("p256.pem", Some("der.key"), None),
        "der.key cannot be used as a private key: it is no PEM text; if it is a key in DER, convert it: openssl \
         pkey -inform DER -in der.key -out new.key",
        Serve(&["openssl pkey -inform DER -in der.key -out new.key"], NEW),
    ),
    (
        ("p256.pem", Some("garbage.pem"), None),
        "garbage.pem cannot be used as a private key: it is no PEM text; if it is a key in DER, convert it: \
         openssl pkey -inform DER -in garbage.pem -out new.key",
        Fail(&["openssl pkey -inform DER -in garbage.pem -out new.key"]),
    ),
    (
        ("p256.pem", Some("empty.pem"), None),
        "empty.pem cannot be used as a private key: it is empty",
        Nothing,
    ),
    (
        ("p256.pem", Some("huge.pem"), None),
        "huge.pem has more than 1048576 bytes; name the file of a certificate or key",
        Nothing,
    ),
    (
        ("p256.pem", Some("folder.pem"), None),
        "cannot read folder.pem: it is not a file; name the file itself",
        Nothing,
    ),
    (
        ("p256.pem", Some("absent.key"), None),
        "cannot read absent.key: there is no such file; relative paths begin at the content root",
        Nothing,
    ),
    (
        ("p256.pem", Some("cut.key"), None),
        "cut.key cannot be used as a private key: the section PRIVATE KEY is damaged: its END line is missing; \
         try openssl pkey -in cut.key -noout",
        Fail(&["openssl pkey -in cut.key -noout"]),
    ),
    (
        ("p256.pem", Some("star.key"), None),
        "star.key cannot be used as a private key: the section PRIVATE KEY is damaged: it is no base64 \
         (InvalidCharacter(42)); try openssl pkey -in star.key -noout",
        Fail(&["openssl pkey -in star.key -noout"]),
    ),
    (
        ("p256.pem", Some("damaged.key"), None),
        "damaged.key cannot be used as a private key: the ECDSA P-256 key is damaged; try openssl pkey -in \
         damaged.key -noout -check",
        Fail(&["openssl pkey -in damaged.key -noout -check"]),
    ),
    // Passwords.
    (
        ("p256.pem", Some("aes-256.key"), None),
        "aes-256.key needs a password and none is given: the private key stays encrypted; try openssl pkey -in \
         aes-256.key -noout",
        Look(&[OPEN_KEY]),
    ),
    (
        ("p256.pem", Some("aes-256.key"), Some("wrong")),
        "the password does not open aes-256.key: the private key stays encrypted; try openssl pkey -in \
         aes-256.key -noout",
        Look(&[OPEN_KEY]),
    ),
    (
        ("p256.pem", Some("aes-256.key"), Some("")),
        "the password does not open aes-256.key: the private key stays encrypted; try openssl pkey -in \
         aes-256.key -noout",
        Look(&[OPEN_KEY]),
    ),
    (
        ("p256.pem", Some("pbe-3des.key"), Some("wrong")),
        "the password does not open pbe-3des.key: the private key stays encrypted; try openssl pkey -in \
         pbe-3des.key -noout",
        Look(&["openssl pkey -in pbe-3des.key -noout"]),
    ),
    (
        ("default.pfx", None, Some("wrong")),
        "the password does not open default.pfx: try openssl pkcs12 -in default.pfx -noout -info; older files \
         want -legacy, too",
        Look(&[OPEN_PFX]),
    ),
    (
        ("default.pfx", None, Some("")),
        "the password does not open default.pfx: try openssl pkcs12 -in default.pfx -noout -info; older files \
         want -legacy, too",
        Look(&[OPEN_PFX]),
    ),
    (
        ("default.pfx", None, None),
        "default.pfx needs a password and none is given: try openssl pkcs12 -in default.pfx -noout -info; older \
         files want -legacy, too",
        Look(&[OPEN_PFX]),
    ),
    // What is not read.
    (
        ("p256.pem", Some("aria.key"), PASSWORD),
        "aria.key is not supported: encryption with the algorithm 1.2.410.200046.1.1.12; encrypt it anew: openssl \
         pkcs8 -topk8 -v2 aes-256-cbc -in aria.key -out new.key",
        Serve(&["openssl pkcs8 -topk8 -v2 aes-256-cbc -in aria.key -out new.key"], NEW),
    ),
    (
        ("p256.pem", Some("camellia.key"), PASSWORD),
        "camellia.key is not supported: encryption with the algorithm 1.2.392.200011.61.1.1.1.4; encrypt it anew: \
         openssl pkcs8 -topk8 -v2 aes-256-cbc -in camellia.key -out new.key",
        Serve(
            &["openssl pkcs8 -topk8 -v2 aes-256-cbc -in camellia.key -out new.key"],
            NEW,
        ),
    ),
    (
        ("rsa2048.pem", Some("dek-info.key"), PASSWORD),
        "dek-info.key is not supported: the traditional encryption of keys (DEK-Info); write it as PKCS#8: \
         openssl pkcs8 -topk8 -in dek-info.key -out new.key",
        Serve(
            &["openssl pkcs8 -topk8 -in dek-info.key -out new.key"],
            ("rsa2048.pem", Some("new.key"), PASSWORD),
        ),
    ),
    (
        ("aria.pfx", None, PASSWORD),
        "aria.pfx is not supported: encryption with the algorithm 1.2.410.200046.1.1.12; write it anew: openssl \
         pkcs12 -legacy -in aria.pfx -nodes -out all.pem, then openssl pkcs12 -export -in all.pem -out new.pfx",
        Serve(
            &[
                "openssl pkcs12 -legacy -in aria.pfx -nodes -out all.pem",
                "openssl pkcs12 -export -in all.pem -out new.pfx",
            ],
            ("new.pfx", None, PASSWORD),
        ),
    ),
    (
        ("md5.pfx", None, PASSWORD),
        "md5.pfx is not supported: a MAC with the algorithm 1.2.840.113549.2.5; write it anew: openssl pkcs12 \
         -legacy -in md5.pfx -nodes -out all.pem, then openssl pkcs12 -export -in all.pem -out new.pfx",
        Serve(
            &[
                "openssl pkcs12 -legacy -in md5.pfx -nodes -out all.pem",
                "openssl pkcs12 -export -in all.pem -out new.pfx",
            ],
            ("new.pfx", None, PASSWORD),
        ),
    ),
    (
        ("cut.pfx", None, PASSWORD),
        "cut.pfx cannot be used as a certificate: the PFX is damaged (ASN.1 DER message is incomplete: expected \
         501, actual 500 at DER byte 500); try openssl pkcs12 -in cut.pfx -noout -info",
        Fail(&["openssl pkcs12 -in cut.pfx -noout -info"]),
    ),
    (
        ("rsa1024.pem", Some("rsa1024.key"), None),
        "rsa1024.key is not supported: PROVIDER cannot sign with RSA 1024 keys; make a key that it can use and \
         request a certificate for it: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out \
         new.key",
        Issue(NEW_KEY),
    ),
    (
        ("ed448.pem", Some("ed448.key"), None),
        "ed448.key is not supported: PROVIDER cannot sign with Ed448 keys; make a key that it can use and request \
         a certificate for it: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out new.key",
        Issue(NEW_KEY),
    ),
    (
        ("secp256k1.pem", Some("secp256k1.key"), None),
        "secp256k1.key is not supported: PROVIDER cannot sign with ECDSA on the curve 1.3.132.0.10 keys; make a \
         key that it can use and request a certificate for it: openssl genpkey -algorithm EC -pkeyopt \
         ec_paramgen_curve:P-256 -out new.key",
        Issue(NEW_KEY),
    ),
];

/// The command as somebody types it: with the names of the files, and with the passwords that it asks for.
fn typed(command: &str) -> Vec<String> {
    let named = |word: &str| match word {
        "CERTIFICATE" | "CERTIFICATE.pem" => "p256.pem".to_owned(),
        "KEY.pem" => "p256.key".to_owned(),
        word => word.to_owned(),
    };
    let mut words: Vec<String> = command.split(' ').skip(1).map(named).collect();
    let asks: &[&str] = match words[0].as_str() {
        "pkcs12" if words.iter().any(|word| word == "-export") => &["-passout"],
        "pkcs12" | "pkey" => &["-passin"],
        "pkcs8" => &["-passin", "-passout"],
        _ => &[],
    };
    for option in asks {
        words.extend([(*option).to_owned(), "pass:geheim-1".to_owned()]);
    }
    words
}

/// Runs commands as they stand in a message.
fn run(shop: &Workshop, commands: &[&str], message: &str, succeed: bool) -> Result<(), String> {
    for command in commands {
        if !message.contains(command) {
            return Err(format!("it does not have {command}"));
        }
        let output = shop.run("openssl", typed(command));
        let told = [output.stdout, output.stderr].concat();
        if output.status.success() != succeed || (!succeed && told.is_empty()) {
            return Err(format!(
                "{command}: {} {}",
                output.status,
                String::from_utf8_lossy(&told)
            ));
        }
    }
    Ok(())
}

fn follow(shop: &Workshop, message: &str, then: &Then) -> Result<(), String> {
    let (commands, succeed) = match then {
        Nothing => (&[][..], true),
        Look(commands) | Serve(commands, _) => (*commands, true),
        Fail(commands) => (*commands, false),
        Issue(command) => (std::slice::from_ref(command), true),
    };
    let told = message.matches("openssl ").count();
    if told != commands.len() {
        return Err(format!("it has {told} commands"));
    }
    for name in ["new.key", "new.pem", "new.pfx", "all.pem", "BOTH.pfx"] {
        shop.remove(name);
    }
    run(shop, commands, message, succeed)?;
    match then {
        Serve(_, (file, key, password)) => serve(shop, file, *key, *password).map(drop),
        Issue(_) => {
            shop.make(
                "sh",
                [
                    "-eu",
                    "-c",
                    &format!(
                        "openssl req -new -key new.key -subj /CN={NAME} -addext subjectAltName=DNS:{NAME} -out new.csr
                 openssl x509 -req -in new.csr -copy_extensions copy -CA outer.pem -CAkey outer.key -out new.pem"
                    ),
                ],
            );
            serve(shop, "new.pem", Some("new.key"), None).map(drop)
        }
        _ => Ok(()),
    }
}

pub(crate) fn each_message_says_what_is_wrong_and_its_commands_work(shop: &Workshop) {
    let mut failures = Vec::new();
    for ((file, key, password), text, then) in REFUSED {
        let why = match load(shop, file, *key, *password) {
            Ok(certificate) => format!("{certificate:?}"),
            Err(error) => {
                let message = shop.steady(&error.to_string());
                if message == text.replace("PROVIDER", PROVIDER) {
                    match follow(shop, &message, then) {
                        Ok(()) => continue,
                        Err(why) => format!("{message}\n  {why}"),
                    }
                } else {
                    format!("{message}\n  instead of\n{text}")
                }
            }
        };
        failures.push(format!("{file} with {key:?} and {password:?}: {why}"));
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

pub(crate) fn what_the_server_may_not_read(shop: &Workshop) {
    if std::fs::File::open(shop.path("secret.pem")).is_ok() {
        println!("skipped: a file without rights, because root reads it all the same");
        return;
    }
    let error = load(shop, "secret.pem", KEY, None).unwrap_err().to_string();
    let text = "cannot read secret.pem: permission denied; let the server's user read it";
    assert_eq!(shop.steady(&error), text);
}
