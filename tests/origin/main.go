// Command origin is an HLS origin for tests: RTMP in, HLS out, on the libraries of MediaMTX.
//
// It keeps the rules that a relay meets on MediaMTX 1.18 to 1.20 with a CDN secret (sessions, status
// codes, a new muxer for each publisher) and nothing else. It ends with its parent.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/bluenviron/gohlslib/v2"
)

const (
	parentCheckPeriod = 500 * time.Millisecond
	headTimeout       = 10 * time.Second
	idleTimeout       = 30 * time.Second // as MediaMTX closes idle connections
)

var variants = map[string]gohlslib.MuxerVariant{
	"lowLatency": gohlslib.MuxerVariantLowLatency,
	"fmp4":       gohlslib.MuxerVariantFMP4,
	"mpegts":     gohlslib.MuxerVariantMPEGTS,
}

func main() {
	log.SetFlags(log.Ltime | log.Lmicroseconds)
	go endWithParent(os.Getppid())
	if err := run(); err != nil {
		log.Fatalf("origin: %v", err)
	}
}

func run() error {
	rtmp := flag.String("rtmp", env("MTX_RTMPADDRESS", "127.0.0.1:0"), "address of the RTMP listener")
	hls := flag.String("hls", env("MTX_HLSADDRESS", "127.0.0.1:0"), "address of the HLS listener")
	variant := flag.String("variant", "lowLatency", "lowLatency, fmp4 or mpegts")
	part := flag.Duration("part", 500*time.Millisecond, "least length of a part")
	segment := flag.Duration("segment", 2*time.Second, "least length of a segment")
	count := flag.Int("segments", 7, "segments in the window")
	secret := flag.String("secret", env("MTX_HLSCDNSECRET", os.Getenv("HLS_CDN_SECRET")), "what relays send as bearer")
	token := flag.String("token", "", "token that a publisher must send; empty: none")
	authURL := flag.String("auth-url", env("MTX_AUTHHTTPADDRESS", ""), "publishers are asked for here, in MediaMTX's format")
	sessionIdle := flag.Duration("session-idle", 30*time.Second, "a session without request ends after this")
	readyFile := flag.String("ready-file", "", "where to write the real addresses, as JSON")
	flag.Parse()

	kind, ok := variants[*variant]
	if !ok {
		return fmt.Errorf("-variant %q is none of lowLatency, fmp4, mpegts", *variant)
	}
	if *secret == "" {
		return fmt.Errorf("-secret is missing: without it nothing may be read")
	}
	rtmpListener, err := net.Listen("tcp", *rtmp)
	if err != nil {
		return err
	}
	hlsListener, err := net.Listen("tcp", *hls)
	if err != nil {
		return err
	}
	paths := &paths{muxers: map[string]*liveMuxer{}}
	ingest := &ingest{
		paths: paths,
		gate:  gate{token: *token, authURL: *authURL},
		newMuxer: func(tracks []*gohlslib.Track) *gohlslib.Muxer {
			return &gohlslib.Muxer{
				Tracks:             tracks,
				Variant:            kind,
				SegmentCount:       *count,
				SegmentMinDuration: *segment,
				PartMinDuration:    *part,
			}
		},
	}
	server := &http.Server{
		Handler:           &hlsHandler{paths: paths, secret: *secret, sessionIdle: *sessionIdle},
		ReadHeaderTimeout: headTimeout,
		IdleTimeout:       idleTimeout,
	}
	if *readyFile != "" {
		err = writeReady(*readyFile, map[string]string{
			"rtmp_url": "rtmp://" + rtmpListener.Addr().String(),
			"hls_url":  "http://" + hlsListener.Addr().String(),
		})
		if err != nil {
			return err
		}
	}
	ended := make(chan error, 2)
	go func() { ended <- ingest.serve(rtmpListener) }()
	go func() { ended <- server.Serve(hlsListener) }()
	return <-ended
}

// env lets this program stand for MediaMTX where that is configured by its environment: in compose.yaml.
func env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

// writeReady puts the file in place whole, so that a reader sees all of it or nothing.
func writeReady(path string, addresses map[string]string) error {
	body, err := json.Marshal(addresses)
	if err != nil {
		return err
	}
	temporary := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".new")
	if err := os.WriteFile(temporary, body, 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

// endWithParent looks at the parent's id rather than ask the kernel for a signal: that signal comes
// when the thread that started us ends, and test runners start children from short-lived threads.
func endWithParent(parent int) {
	for os.Getppid() == parent {
		time.Sleep(parentCheckPeriod)
	}
	os.Exit(1)
}
