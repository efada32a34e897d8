#include "http/scripted_server.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

namespace perdure::http {
namespace {

void require(bool holds, const char* what) {
  if (!holds) throw std::runtime_error(std::string("test server: ") + what);
}

void add_extension(X509* certificate, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value);
  require(extension && X509_add_ext(certificate, extension, -1) == 1, "extension");
  X509_EXTENSION_free(extension);
}

X509* make_certificate(EVP_PKEY* key, const char* name, X509* issuer) {
  static long serial = 1;
  X509* certificate = X509_new();
  X509_set_version(certificate, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
  X509_set_pubkey(certificate, key);
  X509_NAME* subject = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name), -1, -1, 0);
  X509_set_issuer_name(certificate, issuer ? X509_get_subject_name(issuer) : subject);
  return certificate;
}

}  // namespace

TestAuthority::TestAuthority(const std::string& names) {
  EVP_PKEY* ca_key = EVP_EC_gen("P-256");
  X509* ca = make_certificate(ca_key, "Test Authority", nullptr);
  add_extension(ca, NID_basic_constraints, "critical,CA:TRUE");
  require(X509_sign(ca, ca_key, EVP_sha256()) > 0, "signature");

  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = make_certificate(key, "test server", ca);
  add_extension(certificate, NID_subject_alt_name, names.c_str());
  require(X509_sign(certificate, ca_key, EVP_sha256()) > 0, "signature");

  context_ = SSL_CTX_new(TLS_server_method());
  require(SSL_CTX_use_certificate(context_, certificate) == 1, "certificate");
  require(SSL_CTX_use_PrivateKey(context_, key) == 1, "key");

  ca_file_ = testing::TempDir() + "perdure-test-ca-XXXXXX";
  int descriptor = mkstemp(ca_file_.data());
  require(descriptor >= 0, "temporary file");
  FILE* file = fdopen(descriptor, "w");
  PEM_write_X509(file, ca);
  fclose(file);

  X509_free(ca);
  X509_free(certificate);
  EVP_PKEY_free(ca_key);
  EVP_PKEY_free(key);
}

TestAuthority::~TestAuthority() {
  SSL_CTX_free(context_);
  unlink(ca_file_.c_str());
}

ScriptedPeer::ScriptedPeer(int descriptor, ssl_ctx_st* tls) : descriptor_(descriptor) {
  if (!tls) return;
  tls_ = SSL_new(tls);
  SSL_set_fd(tls_, descriptor_);
  open_ = SSL_accept(tls_) == 1;
}

ScriptedPeer::~ScriptedPeer() {
  if (tls_ && open_ && !quiet_) SSL_shutdown(tls_);
  SSL_free(tls_);
}

std::size_t ScriptedPeer::read_some(char* data, std::size_t size) {
  if (!open_) return 0;
  auto count =
      tls_ ? SSL_read(tls_, data, static_cast<int>(size)) : recv(descriptor_, data, size, 0);
  ERR_clear_error();
  open_ = count > 0;
  return open_ ? static_cast<std::size_t>(count) : 0;
}

std::string ScriptedPeer::read_head() {
  std::size_t end;
  while ((end = received_.find("\r\n\r\n")) == std::string::npos) {
    char buffer[4096];
    std::size_t count = read_some(buffer, sizeof buffer);
    if (count == 0) return "";
    received_.append(buffer, count);
  }
  std::string head = received_.substr(0, end + 4);
  received_.erase(0, end + 4);
  return head;
}

std::string ScriptedPeer::read_request() {
  std::string request = read_head();
  std::size_t field = request.find("Content-Length: ");
  if (field == std::string::npos) return request;
  std::size_t length = std::strtoul(request.c_str() + field + 16, nullptr, 10);
  std::vector<char> buffer(64 << 10);
  while (received_.size() < length) {
    std::size_t count = read_some(buffer.data(), buffer.size());
    if (count == 0) return "";
    received_.append(buffer.data(), count);
  }
  request += received_.substr(0, length);
  received_.erase(0, length);
  return request;
}

void ScriptedPeer::send(std::string_view bytes) {
  while (open_ && !bytes.empty()) {
    auto count = tls_ ? SSL_write(tls_, bytes.data(), static_cast<int>(bytes.size()))
                      : ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    open_ = count > 0;
    if (open_) bytes.remove_prefix(static_cast<std::size_t>(count));
  }
}

bool ScriptedPeer::wait_for_close() {
  char buffer[4096];
  while (read_some(buffer, sizeof buffer) > 0) {
  }
  return true;
}

ScriptedServer::ScriptedServer(std::vector<Script> scripts, ssl_ctx_st* tls)
    : scripts_(std::move(scripts)), tls_(tls) {
  std::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes without MSG_NOSIGNAL
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  require(bind(listener_, reinterpret_cast<sockaddr*>(&address), size) == 0, "bind");
  require(listen(listener_, 128) == 0, "listen");
  getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
  port_ = ntohs(address.sin_port);
  acceptor_ = std::jthread([this] { accept_all(); });
}

ScriptedServer::~ScriptedServer() {
  shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  {
    std::lock_guard lock(mutex_);
    for (int descriptor : open_) shutdown(descriptor, SHUT_RDWR);
  }
  threads_.clear();
  ::close(listener_);
}

void ScriptedServer::accept_all() {
  for (;;) {
    int descriptor = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (descriptor < 0) return;
    int one = 1;
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    std::lock_guard lock(mutex_);
    std::size_t number = static_cast<std::size_t>(accepted_++);
    open_.push_back(descriptor);
    threads_.emplace_back([this, descriptor, number] {
      {
        ScriptedPeer peer(descriptor, tls_);
        if (number < scripts_.size()) scripts_[number](peer);
      }
      std::lock_guard inner(mutex_);
      std::erase(open_, descriptor);
      ::close(descriptor);
      ++closed_;
      changed_.notify_all();
    });
  }
}

std::string ScriptedServer::url(std::string_view path) const {
  return (tls_ ? "https://127.0.0.1:" : "http://127.0.0.1:") + std::to_string(port_) +
         std::string(path);
}

int ScriptedServer::connections() const {
  std::lock_guard lock(mutex_);
  return accepted_;
}

void ScriptedServer::wait_until_closed(int count) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return closed_ >= count; });
}

ScriptedServer::Script always(std::string answer) {
  return [answer = std::move(answer)](ScriptedPeer& peer) {
    while (!peer.read_request().empty()) peer.send(answer);
  };
}

}  // namespace perdure::http
