// health DIRECTORY HTTPS_PORT GRPC_PORT: a server for probes that ask over TLS or gRPC. It answers as the files in DIRECTORY
// say: GET /NAME is 200 if there is a file NAME, else 503; the gRPC health check of the service NAME is what stands in
// that file (SERVING, NOT_SERVING), and there is no such service without it.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

type checks struct {
	grpc_health_v1.UnimplementedHealthServer
	directory string
}

func (c checks) Check(_ context.Context, request *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	said, err := os.ReadFile(filepath.Join(c.directory, filepath.Base(request.GetService())))
	if err != nil {
		return nil, status.Error(codes.NotFound, "unknown service")
	}
	state := grpc_health_v1.HealthCheckResponse_ServingStatus_value[strings.TrimSpace(string(said))]
	return &grpc_health_v1.HealthCheckResponse{Status: grpc_health_v1.HealthCheckResponse_ServingStatus(state)}, nil
}

func (c checks) ServeHTTP(answer http.ResponseWriter, request *http.Request) {
	log.Printf("%s %s of %s", request.Proto, request.URL.Path, request.UserAgent())
	if _, err := os.Stat(filepath.Join(c.directory, filepath.Base(request.URL.Path))); err != nil {
		http.Error(answer, "not now", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(answer, "ok")
}

// selfSigned is a certificate that nobody vouches for, of another name than any host's.
func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "another.invalid"},
		NotAfter:     time.Now().Add(time.Hour),
	}
	certificate, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{certificate}, PrivateKey: key}, err
}

func run(directory, httpsPort, grpcPort string) error {
	certificate, err := selfSigned()
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", ":"+grpcPort)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(server, checks{directory: directory})
	failed := make(chan error, 2)
	go func() { failed <- server.Serve(listener) }()
	https := http.Server{
		Addr:      ":" + httpsPort,
		Handler:   checks{directory: directory},
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
	}
	go func() { failed <- https.ListenAndServeTLS("", "") }()
	return <-failed
}

func main() {
	if len(os.Args) != 4 {
		log.Fatal("usage: health DIRECTORY HTTPS_PORT GRPC_PORT")
	}
	log.Fatal(run(os.Args[1], os.Args[2], os.Args[3]))
}
