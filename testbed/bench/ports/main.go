// ports serves kubectl port-forward as a kubelet does, by the kubelet's own code: whatever the pod and the port, what is
// forwarded goes to one address. The bench compares with it, as it has neither SSH nor a cluster in it.
//
//	ports LISTEN CERTIFICATE KEY ADDRESS
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"k8s.io/cri-streaming/pkg/streaming/portforward"
)

// The kubelet's.
const (
	idle     = 4 * time.Hour
	creation = 30 * time.Second
)

type forwarder struct{ address string }

func (f forwarder) PortForward(_ context.Context, _, _ string, _ int32, stream io.ReadWriteCloser) error {
	connection, err := net.Dial("tcp", f.address)
	if err != nil {
		return err
	}
	defer connection.Close()
	// As a kubelet with containerd: over when the port has said all.
	go func() { _, _ = io.Copy(connection, stream) }()
	_, err = io.Copy(stream, connection)
	return err
}

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: ports LISTEN CERTIFICATE KEY ADDRESS")
		os.Exit(64)
	}
	serve := func(w http.ResponseWriter, r *http.Request) {
		options, err := portforward.NewV4Options(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		portforward.ServePortForward(w, r, forwarder{os.Args[4]}, "pod", "", options, idle, creation,
			[]string{portforward.ProtocolV1Name})
	}
	fmt.Fprintln(os.Stderr, http.ListenAndServeTLS(os.Args[1], os.Args[2], os.Args[3], http.HandlerFunc(serve)))
	os.Exit(1)
}
