//! Signatures of AWS, version 4.

use std::fmt;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

const SERVICE: &str = "bedrock";

/// Who calls AWS.
#[derive(Clone, Debug)]
pub struct AwsCredentials {
    /// The public half of the key.
    pub access_key_id: SecretString,
    /// The secret half.
    pub secret_access_key: SecretString,
    /// The token of a session, which short-lived keys have.
    pub session_token: Option<SecretString>,
}

impl AwsCredentials {
    /// Everything that must not be shown.
    pub(crate) fn into_secrets(self) -> impl Iterator<Item = SecretString> {
        [self.access_key_id, self.secret_access_key].into_iter().chain(self.session_token)
    }
}

/// How requests to AWS are signed.
#[derive(Clone, Debug)]
pub struct Signing {
    /// The region, for example `eu-central-1`.
    pub region: String,
    /// Who calls.
    pub credentials: AwsCredentials,
}

/// Signs requests of one caller in one region.
#[derive(Clone)]
pub(crate) struct Signer {
    region: String,
    credentials: Credentials,
}

/// Shows the region only.
impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("region", &self.region).finish_non_exhaustive()
    }
}

impl Signer {
    pub(crate) fn new(signing: &Signing) -> Self {
        let AwsCredentials { access_key_id, secret_access_key, session_token } = &signing.credentials;
        let text = |secret: &SecretString| secret.expose_secret().to_owned();
        let token = session_token.as_ref().map(text);
        let credentials = Credentials::new(text(access_key_id), text(secret_access_key), token, None, "trimtab");
        Self { region: signing.region.clone(), credentials }
    }

    /// The headers that sign a POST of this body to this address at this time. `None` where it cannot be signed.
    pub(crate) fn headers(&self, url: &str, (body, now): (&[u8], SystemTime)) -> Option<HeaderMap> {
        let identity = self.credentials.clone().into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(SERVICE)
            .time(now)
            .settings(SigningSettings::default())
            .build()
            .ok()?
            .into();
        let headers = [("content-type", "application/json")];
        let request = SignableRequest::new("POST", url, headers.into_iter(), SignableBody::Bytes(body)).ok()?;
        let (instructions, _) = sign(request, &params).ok()?.into_parts();
        let (headers, _) = instructions.into_parts();
        headers
            .into_iter()
            .map(|header| {
                let mut value = HeaderValue::from_str(header.value()).ok()?;
                value.set_sensitive(true);
                Some((HeaderName::from_static(header.name()), value))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn signs_with_date_token_and_every_header_that_is_sent() {
        let signer = Signer::new(&Signing {
            region: "us-east-1".to_owned(),
            credentials: AwsCredentials {
                access_key_id: SecretString::from("AKIDEXAMPLE"),
                secret_access_key: SecretString::from("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
                session_token: Some(SecretString::from("canary-token")),
            },
        });
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_440_938_160);
        let url = "https://bedrock-runtime.us-east-1.amazonaws.com/model/anthropic.claude%3A0/converse";

        let headers = signer.headers(url, (b"{}", now)).unwrap();
        let again = signer.headers(url, (b"{}", now)).unwrap();
        let other = signer.headers(url, (b"{ }", now)).unwrap();

        let authorization = headers["authorization"].to_str().unwrap();
        let scope = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/bedrock/aws4_request, \
                     SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature=";
        assert!(authorization.starts_with(scope), "{authorization}");
        // As Python's hmac makes it by the steps that AWS publishes: the escaped path is escaped once more.
        let signature = "016867937a0275205d206cc8d2e2f442795a83144270bb46565a8034e73fcc2c";
        assert_eq!(authorization.strip_prefix(scope), Some(signature));
        assert_eq!(headers["x-amz-date"], "20150830T123600Z");
        assert_eq!(headers["x-amz-security-token"], "canary-token");
        assert_eq!(headers["authorization"], again["authorization"]);
        assert_ne!(headers["authorization"], other["authorization"], "the body is signed");
        assert!(!format!("{signer:?} {headers:?}").contains("canary"));
    }
}
