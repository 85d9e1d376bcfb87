package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/bluenviron/gohlslib/v2"
	hlscodecs "github.com/bluenviron/gohlslib/v2/pkg/codecs"
	"github.com/bluenviron/gortmplib"
	rtmpcodecs "github.com/bluenviron/gortmplib/pkg/codecs"
)

const (
	publisherSilence  = 10 * time.Second // a publisher that sends nothing for this long is gone
	authHookTimeout   = 10 * time.Second
	videoClockRate    = 90000
	maxClockDeviation = 5 * time.Second
)

// ingest turns each RTMP publisher into a muxer of its own.
type ingest struct {
	paths    *paths
	gate     gate
	newMuxer func([]*gohlslib.Track) *gohlslib.Muxer
}

func (i *ingest) serve(listener net.Listener) error {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			if err := i.publisher(conn); !errors.Is(err, io.EOF) {
				log.Printf("publisher %s: %v", conn.RemoteAddr(), err)
			}
		}()
	}
}

func (i *ingest) publisher(conn net.Conn) error {
	extend := func() { _ = conn.SetDeadline(time.Now().Add(publisherSilence)) }
	extend()
	rtmp := &gortmplib.ServerConn{RW: conn}
	if err := rtmp.Initialize(); err != nil {
		return err
	}
	if err := rtmp.AcceptConn(); err != nil {
		return err
	}
	path := strings.Trim(rtmp.URL.Path, "/")
	if err := i.gate.allows(rtmp.Publish, path, rtmp.URL.RawQuery, conn.RemoteAddr()); err != nil {
		return errors.Join(err, rtmp.RejectAction())
	}
	clock := &wallClock{zero: time.Now().Round(0)} // the reader holds the first seconds back to find the tracks
	reader := &gortmplib.Reader{Conn: rtmp}
	if err := reader.Initialize(); err != nil {
		return err
	}
	feeds, tracks, err := feedsOf(reader, clock)
	if err != nil {
		return err
	}
	muxer := i.newMuxer(tracks)
	if err := muxer.Start(); err != nil {
		return err
	}
	var failed error
	for _, feed := range feeds {
		feed(muxer, func(err error) { failed = errors.Join(failed, err) })
	}
	live := &liveMuxer{muxer: muxer, disconnect: func() { conn.Close() }}
	i.paths.publish(path, live)
	defer i.paths.unpublish(path, live)
	log.Printf("%s is live", path)
	defer log.Printf("%s is over", path)
	for failed == nil {
		extend()
		if err := reader.Read(); err != nil {
			return err
		}
	}
	return failed
}

// A feed connects one RTMP track with the muxer; failures to write are reported to the callback.
type feed func(*gohlslib.Muxer, func(error))

func feedsOf(reader *gortmplib.Reader, clock *wallClock) ([]feed, []*gohlslib.Track, error) {
	var feeds []feed
	var tracks []*gohlslib.Track
	for _, track := range reader.Tracks() {
		switch codec := track.Codec.(type) {
		case *rtmpcodecs.H264:
			out := &gohlslib.Track{
				Codec:     &hlscodecs.H264{SPS: codec.SPS, PPS: codec.PPS},
				ClockRate: videoClockRate,
			}
			parameters := &parameterSets{sps: codec.SPS, pps: codec.PPS}
			tracks = append(tracks, out)
			feeds = append(feeds, func(muxer *gohlslib.Muxer, failed func(error)) {
				reader.OnDataH264(track, func(pts time.Duration, _ time.Duration, unit [][]byte) {
					if unit = parameters.inBand(unit); len(unit) > 0 {
						failed(muxer.WriteH264(out, clock.at(pts), ticks(pts, videoClockRate), unit))
					}
				})
			})
		case *rtmpcodecs.MPEG4Audio:
			rate := codec.Config.SampleRate
			out := &gohlslib.Track{Codec: &hlscodecs.MPEG4Audio{Config: *codec.Config}, ClockRate: rate}
			tracks = append(tracks, out)
			feeds = append(feeds, func(muxer *gohlslib.Muxer, failed func(error)) {
				reader.OnDataMPEG4Audio(track, func(pts time.Duration, unit []byte) {
					failed(muxer.WriteMPEG4Audio(out, clock.at(pts), ticks(pts, rate), [][]byte{unit}))
				})
			})
		default:
			return nil, nil, fmt.Errorf("%T is neither H.264 nor AAC", codec)
		}
	}
	return feeds, tracks, nil
}

func ticks(pts time.Duration, rate int) int64 {
	return int64(pts/time.Second)*int64(rate) + int64(pts%time.Second)*int64(rate)/int64(time.Second)
}

// wallClock maps the publisher's time stamps to the origin's own clock, the source of
// EXT-X-PROGRAM-DATE-TIME; it starts anew when the two have drifted apart.
type wallClock struct {
	zero time.Time
}

func (c *wallClock) at(pts time.Duration) time.Time {
	now := time.Now().Round(0)
	guess := c.zero.Add(pts)
	if guess.After(now) || now.Sub(guess) > maxClockDeviation {
		c.zero = now.Add(-pts)
		return now
	}
	return guess
}

// H.264 unit types (ITU-T H.264, table 7-1).
const (
	unitIDR       = 5
	unitSPS       = 7
	unitPPS       = 8
	unitDelimiter = 9
)

// parameterSets repeats SPS and PPS at each key frame: RTMP sends them apart, HLS wants them in band.
type parameterSets struct {
	sps, pps []byte
}

func (p *parameterSets) inBand(unit [][]byte) [][]byte {
	var picture [][]byte
	key := false
	for _, nalu := range unit {
		if len(nalu) == 0 {
			continue
		}
		switch nalu[0] & 0x1f {
		case unitSPS:
			p.sps = nalu
			continue
		case unitPPS:
			p.pps = nalu
			continue
		case unitDelimiter:
			continue
		case unitIDR:
			key = true
		}
		picture = append(picture, nalu)
	}
	if key {
		return append([][]byte{p.sps, p.pps}, picture...)
	}
	return picture
}

// gate decides who may publish.
type gate struct {
	token   string
	authURL string
}

func (g gate) allows(publish bool, path string, rawQuery string, from net.Addr) error {
	if !publish {
		return errors.New("RTMP is for publishers; read by HLS")
	}
	if name, ok := strings.CutPrefix(path, "live/"); !ok || name == "" || strings.Contains(name, "/") {
		return fmt.Errorf("%q is not live/<name>", path)
	}
	query, _ := url.ParseQuery(rawQuery)
	token := query.Get("token")
	if g.token != "" && token != g.token {
		return fmt.Errorf("%s: the token is wrong", path)
	}
	if g.authURL == "" {
		return nil
	}
	address, _, _ := net.SplitHostPort(from.String())
	body, err := json.Marshal(map[string]any{
		"ip": address, "user": "", "password": "", "token": token, "action": "publish", "path": path,
		"protocol": "rtmp", "id": nil, "query": rawQuery, "userAgent": "",
	})
	if err != nil {
		return err
	}
	client := http.Client{Timeout: authHookTimeout}
	answer, err := client.Post(g.authURL, "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("%s: the hook answered %s", path, answer.Status)
	}
	return nil
}
