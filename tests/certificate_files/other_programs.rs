//! Files of other programs: Java's keytool, the tools of Mozilla's NSS, ssh-keygen.

use crate::workshop::{Workshop, is_there};
use crate::{PASSWORD, load, serve};

/// Runs a line of commands in the folder.
#[track_caller]
fn shell(shop: &Workshop, commands: &str) {
    shop.make("sh", ["-eu", "-c", commands]);
}

#[track_caller]
fn expect(shop: &Workshop, file: &str, key: Option<&str>, password: Option<&str>, chain: usize) {
    match serve(shop, file, key, password) {
        Ok(certificate) => assert_eq!(certificate.chain().len(), chain, "{file}"),
        Err(error) => panic!("{file}: {error}"),
    }
}

#[track_caller]
fn refusal(shop: &Workshop, file: &str, key: Option<&str>) -> String {
    let error = load(shop, file, key, PASSWORD).expect_err(file);
    shop.steady(&error.to_string())
}

pub(crate) fn javas_keytool(shop: &Workshop) {
    if !is_there("keytool", "the files of Java") {
        return;
    }
    shell(
        shop,
        "copy='keytool -importkeystore -noprompt -srcstorepass geheim-1 -deststorepass geheim-1'
         $copy -srckeystore chain.pfx -srcstoretype PKCS12 -destkeystore java.p12 -deststoretype PKCS12
         $copy -srckeystore chain.pfx -srcstoretype PKCS12 -destkeystore java.jks -deststoretype JKS
         $copy -srckeystore java.p12 -destkeystore several.p12 -deststoretype PKCS12
         $copy -srckeystore rsa.pfx -srcstoretype PKCS12 -destkeystore several.p12 -deststoretype PKCS12 \
            -srcalias 1 -destalias another",
    );
    expect(shop, "java.p12", None, PASSWORD, 2);

    let subject = "CN=files.stannel.test, THUMBPRINT";
    let export = "openssl pkcs12 -export -in CERTIFICATE.pem -inkey KEY.pem -out ONE.pfx";
    assert_eq!(
        refusal(shop, "several.p12", None),
        format!(
            "several.p12 has several certificates with private keys ({subject}; {subject}); write a file with one of them: \
             {export}"
        )
    );
    let as_typed = export
        .replace("CERTIFICATE.pem", "chain.pem")
        .replace("KEY.pem", "p256.key");
    shell(shop, &format!("{as_typed} -passout pass:geheim-1"));
    expect(shop, "ONE.pfx", None, PASSWORD, 2);

    let convert = "keytool -importkeystore -srckeystore java.jks -destkeystore new.pfx -deststoretype PKCS12";
    assert_eq!(
        refusal(shop, "java.jks", None),
        format!("java.jks is not supported: a Java keystore in the form before PKCS#12; convert it: {convert}")
    );
    shell(
        shop,
        &format!("{convert} -srcstorepass geheim-1 -deststorepass geheim-1"),
    );
    expect(shop, "new.pfx", None, PASSWORD, 2);
}

pub(crate) fn mozillas_tools(shop: &Workshop) {
    if !is_there("certutil", "the files of NSS") || !is_there("pk12util", "the files of NSS") {
        return;
    }
    shell(
        shop,
        "mkdir nss
         certutil -N -d sql:nss --empty-password
         openssl pkcs12 -export -in chain.pem -inkey p256.key -name mine -passout pass:geheim-1 -out mine.pfx
         pk12util -i mine.pfx -d sql:nss -W geheim-1
         pk12util -o nss.pfx -d sql:nss -n mine -W geheim-1
         pk12util -o nss-aes.pfx -d sql:nss -n mine -W geheim-1 -c AES-128-CBC -C AES-128-CBC
         pk12util -o nss-empty.pfx -d sql:nss -n mine -W ''",
    );
    // Some versions leave lengths open, as BER allows.
    expect(shop, "nss.pfx", None, PASSWORD, 2);
    expect(shop, "nss-aes.pfx", None, PASSWORD, 2);
    expect(shop, "nss-empty.pfx", None, Some(""), 2);
    expect(shop, "nss-empty.pfx", None, None, 2);
}

pub(crate) fn sshs_keys(shop: &Workshop) {
    if !is_there("ssh-keygen", "the keys of ssh") {
        return;
    }
    shell(
        shop,
        "ssh-keygen -q -t ecdsa -b 256 -N '' -f ssh.key
         cp ssh.key copy.key
         ssh-keygen -q -p -m PKCS8 -P '' -N '' -f copy.key
         openssl req -new -key copy.key -subj /CN=files.stannel.test -addext subjectAltName=DNS:files.stannel.test -out ssh.csr
         openssl x509 -req -in ssh.csr -copy_extensions copy -CA outer.pem -CAkey outer.key -out ssh.pem",
    );
    let error = load(shop, "ssh.pem", Some("ssh.key"), None).expect_err("ssh.key");
    let convert = "ssh-keygen -p -m PKCS8 -N '' -f ssh.key";
    assert_eq!(
        shop.steady(&error.to_string()),
        format!(
            "ssh.key is not supported: the form in which ssh keeps keys; write a copy of it as PKCS#8, in place: {convert}"
        )
    );
    shell(shop, convert);
    expect(shop, "ssh.pem", Some("ssh.key"), None, 0);
}
