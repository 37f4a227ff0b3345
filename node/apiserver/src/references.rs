//! What pods refer to: ConfigMaps, Secrets and claims of volumes by name, tokens of their ServiceAccounts, and services.
//!
//! Objects are read one by one when they are needed, and only those that a pod bound to this node names: the Node
//! authorizer allows no more, and with a ServiceAccount we take no more either.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest as Request, TokenRequestSpec};
use k8s_openapi::api::core::v1::{
    ConfigMap, PersistentVolume, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::runtime::watcher::Event;
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::{OnceCell, watch};
use tokio_util::task::AbortOnDropHandle;
use towline_core::renewal::{Kind, Object, Version};
use towline_core::translate::{Needs, References, needs};
use towline_core::volumes::{Token, TokenRequest, tokens};

use crate::watching::{config, follow};
use crate::{Error, Session};

/// How long a first list of services is waited for.
const SYNC: Duration = Duration::from_secs(10);
/// Requests at once for one pod; the session bounds their sum.
const PARALLEL: usize = 8;

/// A reference could not be read (absence is not an error): try again later.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The list of services is not complete yet.
    #[error("the list of services on {server} is not complete yet")]
    NotSynced {
        /// The API server.
        server: String,
    },
    /// A request failed.
    #[error(transparent)]
    Api(#[from] Error),
}

/// What pods that are submitted together refer to: each object is read once for all of them.
#[derive(Default)]
pub struct Together {
    config_maps: Cells<ConfigMap>,
    secrets: Cells<Secret>,
    claims: Cells<PersistentVolumeClaim>,
}

/// By the node in whose name it is read, namespace and name.
type Cells<K> = Mutex<HashMap<(String, String, String), Arc<OnceCell<Option<K>>>>>;

/// Reads what pods refer to. Cheap to clone.
#[derive(Clone)]
pub struct ReferenceReader {
    services: Arc<Mutex<Services>>,
    synced: watch::Receiver<bool>,
    /// Ends with the last clone.
    _watch: Arc<Option<AbortOnDropHandle<()>>>,
}

impl ReferenceReader {
    /// Starts the one watch that is needed, of services, with the first session: all are of one cluster.
    pub fn new(sessions: &[Session]) -> Self {
        let services = Arc::new(Mutex::new(Services::default()));
        let (sender, synced) = watch::channel(false);
        let task = sessions.first().cloned().map(|session| {
            let services = Arc::clone(&services);
            AbortOnDropHandle::new(tokio::spawn(async move {
                follow::<Service>(&session, "services", Api::all, config(), |event| {
                    if lock(&services).apply(event) {
                        sender.send_replace(true);
                    }
                })
                .await;
            }))
        });
        Self {
            services,
            synced,
            _watch: Arc::new(task),
        }
    }

    /// Reads everything that a pod refers to and that was not read for another one of `together`. What does not exist is
    /// left out.
    ///
    /// Tokens are bound to the pod and made anew by each call.
    ///
    /// # Errors
    /// Something could not be read for a reason other than absence.
    pub async fn fetch(&self, session: &Session, pod: &Pod, together: &Together) -> Result<References, FetchError> {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
        let names = needs(pod);
        let (config_maps, mut secrets, pull_secrets, tokens, services, claims) = tokio::try_join!(
            get_all(session, namespace, names.config_maps, &together.config_maps),
            get_all(session, namespace, names.secrets, &together.secrets),
            pull_secrets(session, namespace, names.pull_secrets, &together.secrets),
            request_all(session, namespace, pod, tokens(pod)),
            self.services(session, namespace),
            get_all(session, namespace, names.claims, &together.claims),
        )?;
        secrets.extend(pull_secrets);
        let persistent_volumes = persistent_volumes(session, &claims).await?;
        Ok(References {
            config_maps,
            secrets,
            services,
            tokens,
            claims,
            persistent_volumes,
        })
    }

    /// Reads the objects of some pods' volumes, all of one namespace. What does not exist is left out.
    ///
    /// # Errors
    /// Something could not be read for a reason other than absence.
    pub async fn objects(&self, session: &Session, namespace: &str, names: Needs) -> Result<References, FetchError> {
        let together = Together::default();
        let (config_maps, secrets) = tokio::try_join!(
            get_all(session, namespace, names.config_maps, &together.config_maps),
            get_all(session, namespace, names.secrets, &together.secrets),
        )?;
        Ok(References {
            config_maps,
            secrets,
            ..References::default()
        })
    }

    /// Makes a pod's tokens anew.
    ///
    /// # Errors
    /// One of them could not be had for a reason other than that its ServiceAccount is gone.
    pub async fn tokens(&self, session: &Session, pod: &Pod) -> Result<BTreeMap<TokenRequest, Token>, FetchError> {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
        request_all(session, namespace, pod, tokens(pod)).await
    }

    /// Asks for the version of an object without reading it.
    ///
    /// A watch of each object would say sooner that it has changed; but it costs a connection for each, and a right
    /// (`watch`) with which RBAC gives away all Secrets of a namespace, while `get` is about one name.
    ///
    /// # Errors
    /// It could not be asked for.
    pub async fn version(&self, session: &Session, namespace: &str, (kind, name): &Object) -> Result<Version, Error> {
        let found = match kind {
            Kind::ConfigMap => metadata_of::<ConfigMap>(session, namespace, name).await,
            Kind::Secret => metadata_of::<Secret>(session, namespace, name).await,
        }?;
        Ok(found.map_or(Version::Absent, |metadata| Version::of(&metadata, None)))
    }

    async fn services(&self, session: &Session, namespace: &str) -> Result<Vec<Service>, FetchError> {
        let mut synced = self.synced.clone();
        match tokio::time::timeout(SYNC, synced.wait_for(|synced| *synced)).await {
            Ok(Ok(_)) => Ok(lock(&self.services).visible_in(namespace)),
            _ => Err(FetchError::NotSynced {
                server: session.server().to_owned(),
            }),
        }
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(|poison| poison.into_inner())
}

/// Reads objects of one kind by name.
async fn get_all<K>(
    session: &Session,
    namespace: &str,
    names: impl IntoIterator<Item = String>,
    cells: &Cells<K>,
) -> Result<BTreeMap<String, K>, FetchError>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
{
    let found: Vec<(String, Option<K>)> = stream::iter(names)
        .map(|name| async move {
            let key = (session.node().to_owned(), namespace.to_owned(), name.clone());
            let cell = Arc::clone(lock(cells).entry(key).or_default());
            let object = cell.get_or_try_init(|| get_one(session, namespace, &name)).await?;
            Ok::<_, Error>((name, object.clone()))
        })
        .buffer_unordered(PARALLEL)
        .try_collect()
        .await?;
    Ok(found
        .into_iter()
        .filter_map(|(name, object)| Some((name, object?)))
        .collect())
}

/// Reads secrets for registries. One that may not be read is as one that does not exist: the image may not need it.
async fn pull_secrets(
    session: &Session,
    namespace: &str,
    names: impl IntoIterator<Item = String>,
    cells: &Cells<Secret>,
) -> Result<BTreeMap<String, Secret>, FetchError> {
    let mut found = BTreeMap::new();
    for name in names {
        match get_all(session, namespace, [name], cells).await {
            Err(FetchError::Api(error)) if error.is_forbidden() => {
                tracing::debug!(%error, "a pull secret is passed over")
            }
            result => found.extend(result?),
        }
    }
    Ok(found)
}

/// Reads the volumes that claims are bound to.
async fn persistent_volumes(
    session: &Session,
    claims: &BTreeMap<String, PersistentVolumeClaim>,
) -> Result<BTreeMap<String, PersistentVolume>, FetchError> {
    let mut found = BTreeMap::new();
    for claim in claims.values() {
        let bound = claim.spec.as_ref().and_then(|spec| spec.volume_name.clone());
        let Some(name) = bound.filter(|name| !name.is_empty()) else {
            continue;
        };
        let what = format!("get persistentvolume {name}");
        let object = patiently(|| async {
            let _place = session.place().await;
            let api: Api<PersistentVolume> = Api::all(session.client());
            session.call(&what, api.get_opt(&name)).await
        })
        .await?;
        found.extend(object.map(|object| (name, object)));
    }
    Ok(found)
}

async fn get_one<K>(session: &Session, namespace: &str, name: &str) -> Result<Option<K>, Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
{
    let what = format!("get {} {namespace}/{name}", K::kind(&()).to_lowercase());
    patiently(|| async {
        let _place = session.place().await;
        let api: Api<K> = Api::namespaced(session.client(), namespace);
        session.call(&what, api.get_opt(name)).await
    })
    .await
}

async fn metadata_of<K>(session: &Session, namespace: &str, name: &str) -> Result<Option<ObjectMeta>, Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
{
    let what = format!("get the version of {} {namespace}/{name}", K::kind(&()).to_lowercase());
    let _place = session.place().await;
    let api: Api<K> = Api::namespaced(session.client(), namespace);
    let found = session.call(&what, api.get_metadata_opt(name)).await?;
    Ok(found.map(|object| object.metadata))
}

/// Asks for tokens.
async fn request_all(
    session: &Session,
    namespace: &str,
    pod: &Pod,
    wanted: Vec<TokenRequest>,
) -> Result<BTreeMap<TokenRequest, Token>, FetchError> {
    let account = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.service_account_name.as_deref())
        .filter(|name| !name.is_empty())
        .unwrap_or("default");
    let found: Vec<_> = stream::iter(wanted)
        .map(|wanted| request_one(session, namespace, account, pod, wanted))
        .buffer_unordered(PARALLEL)
        .try_collect()
        .await?;
    Ok(found.into_iter().flatten().collect())
}

async fn request_one(
    session: &Session,
    namespace: &str,
    account: &str,
    pod: &Pod,
    wanted: TokenRequest,
) -> Result<Option<(TokenRequest, Token)>, Error> {
    let what = format!("create a token of serviceaccount {namespace}/{account}");
    let request = token_request(pod, &wanted);
    // (A pod that is quite new may not have reached the part of the API server that binds tokens to it.)
    let answer = patiently(|| async {
        let _place = session.place().await;
        let api: Api<ServiceAccount> = Api::namespaced(session.client(), namespace);
        let params = PostParams::default();
        session
            .call(&what, api.create_token_request(account, &params, &request))
            .await
    })
    .await;
    match answer {
        Ok(answer) => Ok(token(answer, &wanted).map(|token| (wanted, token))),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// The token of an answer. The API server may have chosen another lifetime than was asked for.
fn token(answer: Request, wanted: &TokenRequest) -> Option<Token> {
    let lifetime = answer.spec.and_then(|spec| spec.expiration_seconds);
    let status = answer.status?;
    Some(Token::new(
        status.token?,
        status.expiration_timestamp?.0.as_second(),
        lifetime.unwrap_or(wanted.expiration_seconds),
    ))
}

/// A token for this pod alone: it ends with the pod.
fn token_request(pod: &Pod, wanted: &TokenRequest) -> Request {
    Request {
        spec: Some(TokenRequestSpec {
            audiences: wanted.audience.clone().map(|audience| vec![audience]),
            expiration_seconds: Some(wanted.expiration_seconds),
            bound_object_ref: Some(BoundObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                name: pod.metadata.name.clone(),
                uid: pod.metadata.uid.clone(),
            }),
        }),
        ..Request::default()
    }
}

/// Tries again for a moment after a refusal: what the Node authorizer knows lags behind the binding of a pod.
async fn patiently<T, F>(request: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let pauses = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(50))
        .with_max_times(6)
        .with_jitter();
    request
        .retry(pauses)
        .when(|error| error.is_forbidden() || error.is_not_found())
        .await
}

/// All services by namespace and name.
#[derive(Default)]
struct Services {
    current: BTreeMap<(String, String), Service>,
    listing: BTreeMap<(String, String), Service>,
}

impl Services {
    /// Takes an event in; says whether a list was completed.
    fn apply(&mut self, event: Event<Service>) -> bool {
        let key = |service: &Service| {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            (text(&service.metadata.namespace), text(&service.metadata.name))
        };
        match event.modify(slim) {
            Event::Init => self.listing.clear(),
            Event::InitApply(service) => {
                self.listing.insert(key(&service), service);
            }
            Event::InitDone => {
                self.current = std::mem::take(&mut self.listing);
                return true;
            }
            Event::Apply(service) => {
                self.current.insert(key(&service), service);
            }
            Event::Delete(service) => {
                self.current.remove(&key(&service));
            }
        }
        false
    }

    /// Those that can become variables of a pod: its namespace's, and the API server itself.
    fn visible_in(&self, namespace: &str) -> Vec<Service> {
        self.current
            .iter()
            .filter(|((own, name), _)| own == namespace || (own == "default" && name == "kubernetes"))
            .map(|(_, service)| service.clone())
            .collect()
    }
}

/// Drops what variables are not made of.
fn slim(service: &mut Service) {
    service.metadata.annotations = None;
    service.metadata.labels = None;
    service.status = None;
}

#[cfg(test)]
mod tests {
    use kube::Client;
    use kube::client::Body;
    use serde_json::json;

    use super::*;

    fn service(namespace: &str, name: &str) -> Service {
        let mut service = Service::default();
        service.metadata.namespace = Some(namespace.to_owned());
        service.metadata.name = Some(name.to_owned());
        service
    }

    #[tokio::test]
    async fn what_several_pods_refer_to_is_read_once_for_all_of_them() {
        let (service, mut server) = tower_test::mock::pair::<http::Request<Body>, http::Response<Body>>();
        let session = Session::for_test("hpc", Client::new(service, "default"), std::path::Path::new("/"));
        let answers = tokio::spawn(async move {
            let mut asked = Vec::new();
            while let Some((request, respond)) = server.next_request().await {
                let path = request.uri().path().to_owned();
                let (_, name) = path.rsplit_once('/').unwrap();
                let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
                respond.send_response(http::Response::new(Body::from(object.to_string().into_bytes())));
                asked.push(path);
            }
            asked
        });
        let together = Together::default();
        let read = |namespace: &'static str, names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            get_all(&session, namespace, names, &together.config_maps)
        };
        let (one, two) = tokio::try_join!(read("lab", &["a", "b"]), read("lab", &["b"])).unwrap();
        assert!(one.len() == 2 && two.len() == 1);
        assert_eq!(
            read("other", &["b"]).await.unwrap()["b"].metadata.name.as_deref(),
            Some("b")
        );
        drop(session);
        let mut asked = answers.await.unwrap();
        asked.sort();
        let path = |namespace: &str, name: &str| format!("/api/v1/namespaces/{namespace}/configmaps/{name}");
        assert_eq!(asked, [path("lab", "a"), path("lab", "b"), path("other", "b")]);
    }

    #[test]
    fn a_pod_sees_the_services_of_its_namespace_and_the_api_server() {
        let mut services = Services::default();
        services.apply(Event::Init);
        for (namespace, name) in [
            ("default", "kubernetes"),
            ("default", "web"),
            ("lab", "db"),
            ("other", "db"),
        ] {
            services.apply(Event::InitApply(service(namespace, name)));
        }
        assert!(services.apply(Event::InitDone));
        let names = |services: &Services, namespace: &str| -> Vec<String> {
            services
                .visible_in(namespace)
                .into_iter()
                .filter_map(|service| service.metadata.name)
                .collect()
        };
        assert_eq!(names(&services, "lab"), ["kubernetes", "db"]);
        services.apply(Event::Delete(service("lab", "db")));
        assert_eq!(names(&services, "lab"), ["kubernetes"]);
    }

    #[tokio::test]
    async fn a_version_is_asked_for_without_the_object() {
        let (service, mut server) = tower_test::mock::pair::<http::Request<Body>, http::Response<Body>>();
        let session = Session::for_test("hpc", Client::new(service, "default"), std::path::Path::new("/"));
        let reader = ReferenceReader::new(&[]);
        let mut answers = Vec::new();
        for (name, status, body) in [
            (
                "there",
                200,
                json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": {"name": "there", "resourceVersion": "7"}}),
            ),
            (
                "gone",
                404,
                json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}),
            ),
            (
                "closed",
                403,
                json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403}),
            ),
        ] {
            let object = (Kind::Secret, name.to_owned());
            let asking = reader.version(&session, "lab", &object);
            let answering = async {
                let (request, respond) = server.next_request().await.unwrap();
                assert_eq!(request.uri().path(), format!("/api/v1/namespaces/lab/secrets/{name}"));
                let accept = request.headers()[http::header::ACCEPT].to_str().unwrap().to_owned();
                assert!(accept.contains("PartialObjectMetadata"), "{accept}");
                let answer = http::Response::builder().status(status);
                respond.send_response(answer.body(Body::from(body.to_string().into_bytes())).unwrap());
            };
            answers.push(tokio::join!(asking, answering).0);
        }
        assert_eq!(*answers[0].as_ref().unwrap(), Version::At("7".into()));
        assert_eq!(*answers[1].as_ref().unwrap(), Version::Absent);
        assert!(answers[2].as_ref().unwrap_err().is_forbidden());
    }

    #[test]
    fn a_token_is_used_as_long_as_the_api_server_has_granted() {
        let answer: Request = serde_json::from_value(json!({
            "spec": {"audiences": [], "expirationSeconds": 1200},
            "status": {"token": "t", "expirationTimestamp": "2026-01-01T00:20:00Z"}
        }))
        .unwrap();
        let wanted = TokenRequest {
            audience: None,
            expiration_seconds: 600,
            place: String::new(),
        };
        let made = 1_767_225_600;
        assert_eq!(token(answer, &wanted).unwrap().renew_at, made + 960);
        assert_eq!(token(Request::default(), &wanted), None);
    }

    #[test]
    fn a_token_is_bound_to_name_and_uid_of_the_pod() {
        let mut pod = Pod::default();
        pod.metadata.name = Some("p".to_owned());
        pod.metadata.uid = Some("u".to_owned());
        let wanted = TokenRequest {
            audience: None,
            expiration_seconds: 600,
            place: "v/token".to_owned(),
        };
        let request = token_request(&pod, &wanted);
        let spec = request.spec.unwrap();
        assert_eq!(spec.audiences, None);
        assert_eq!(spec.expiration_seconds, Some(600));
        let bound = spec.bound_object_ref.unwrap();
        assert_eq!((bound.name.as_deref(), bound.uid.as_deref()), (Some("p"), Some("u")));
    }
}
