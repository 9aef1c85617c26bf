//! The keys of `providers.*.auth`.

use super::super::reader::node::Node;
use super::super::reader::place::Problems;
use super::super::reader::shape::{At, Shape, section, words};
use crate::ids::Secret;

words! {
    /// The cloud that gives a credential.
    AuthType {
        /// Microsoft Entra ID.
        "entra" => Entra,
        /// Amazon Web Services.
        "aws" => Aws,
        /// Google Cloud.
        "gcp" => Gcp,
    }
}
words! {
    /// A source of credentials outside of the policy.
    AuthCredentials {
        /// Azure: the identity of the machine or the app.
        "managed_identity" => ManagedIdentity,
        /// AWS: variables of the environment.
        "environment" => Environment,
        /// AWS: a token in a file, for a role.
        "web_identity" => WebIdentity,
        /// AWS: the endpoint of the container.
        "container" => Container,
        /// AWS: the metadata service of the machine.
        "instance" => Instance,
        /// Google Cloud: the metadata server.
        "metadata" => Metadata,
    }
}

section! {
    /// A credential of a cloud, in place of `api_key`. The gateway fetches it, and renews it before it
    /// ends. Keys without a value are not given.
    RawProviderAuth {
        /// entra (for kind azure_openai), aws (bedrock; anthropic at Bedrock) or gcp (gemini; anthropic
        /// at Vertex AI).
        r#type: AuthType;
        /// Source outside of the policy. entra: managed_identity. aws: environment, web_identity (EKS,
        /// GitHub), container (ECS, EKS Pod Identity) or instance (EC2). gcp: metadata.
        credentials: Option<AuthCredentials> = "null";
        /// Address of the token endpoint; null for the cloud's own.
        token_url: Option<String> = "null";
        /// entra: the tenant. Default: `AZURE_TENANT_ID`.
        tenant_id: Option<String> = "null";
        /// entra: the application, or one of several managed identities. Default, but not for
        /// managed_identity: `AZURE_CLIENT_ID`.
        client_id: Option<String> = "null";
        /// entra: a secret of the application.
        client_secret: Secret = "''";
        /// entra: a file with a token of another issuer that Entra trusts, read for each fetch.
        /// Default, without a secret: `AZURE_FEDERATED_TOKEN_FILE`.
        federated_token_file: Option<String> = "null";
        /// entra: the scope of the token; it ends with /.default. Null:
        /// https://cognitiveservices.azure.com/.default.
        scope: Option<String> = "null";
        /// aws: the region that requests are signed for. Null: that of `base_url`, `AWS_REGION` or
        /// `AWS_DEFAULT_REGION`.
        region: Option<String> = "null";
        /// aws: id of an access key.
        access_key_id: Secret = "''";
        /// aws: the access key.
        secret_access_key: Secret = "''";
        /// aws: the session token of a temporary access key.
        session_token: Secret = "''";
        /// gcp: a service account's key, as JSON, read for each fetch.
        service_account_file: Option<String> = "null";
        /// gcp: the project that quota and cost are counted for. Default:
        /// `GOOGLE_CLOUD_QUOTA_PROJECT`.
        quota_project: Option<String> = "null";
    }
}
