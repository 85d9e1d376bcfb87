package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"
	"time"

	"github.com/bluenviron/gohlslib/v2"
	"github.com/bluenviron/gohlslib/v2/pkg/codecs"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
)

const (
	sampleRate      = 48000
	samplesPerFrame = 1024
	sessionIdle     = time.Hour
)

// audioMuxer is a muxer that holds a few seconds of silence.
func audioMuxer(t *testing.T) *gohlslib.Muxer {
	t.Helper()
	track := &gohlslib.Track{
		Codec: &codecs.MPEG4Audio{Config: mpeg4audio.AudioSpecificConfig{
			Type: mpeg4audio.ObjectTypeAACLC, SampleRate: sampleRate, ChannelConfig: 2, ChannelCount: 2,
		}},
		ClockRate: sampleRate,
	}
	muxer := &gohlslib.Muxer{Tracks: []*gohlslib.Track{track}, Variant: gohlslib.MuxerVariantLowLatency}
	if err := muxer.Start(); err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		pts := int64(i * samplesPerFrame)
		if err := muxer.WriteMPEG4Audio(track, time.Now(), pts, [][]byte{{1, 2, 3, 4}}); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(muxer.Close)
	return muxer
}

func TestRules(t *testing.T) {
	paths := &paths{muxers: map[string]*liveMuxer{}}
	handler := &hlsHandler{paths: paths, secret: "s", sessionIdle: sessionIdle}
	status := func(method, target string, trusted bool) int {
		request := httptest.NewRequest(method, target, nil)
		if trusted {
			request.Header.Set("Authorization", "Bearer s")
		}
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, request)
		return answer.Code
	}
	expect := func(method, target string, trusted bool, want int) {
		t.Helper()
		if got := status(method, target, trusted); got != want {
			t.Errorf("%s %s (trusted: %t): %d, want %d", method, target, trusted, got, want)
		}
	}
	expect("GET", "/live/a/index.m3u8", true, http.StatusNotFound)
	expect("GET", "/elsewhere/index.m3u8", true, http.StatusInternalServerError)
	expect("GET", "/live/a/audio1_stream.m3u8", true, http.StatusUnauthorized)

	live := &liveMuxer{muxer: audioMuxer(t), disconnect: func() {}}
	paths.publish("live/a", live)
	expect("GET", "/live/a/audio1_stream.m3u8", true, http.StatusUnauthorized) // no session yet
	expect("GET", "/live/a/index.m3u8", false, http.StatusFound)
	expect("GET", "/live/a/index.m3u8?cookieCheck=1", false, http.StatusUnauthorized)
	expect("GET", "/live/a/index.m3u8", true, http.StatusOK)
	expect("GET", "/live/a/audio1_stream.m3u8", true, http.StatusOK)
	expect("GET", "/live/a/audio1_stream.m3u8", false, http.StatusUnauthorized)
	expect("GET", "/live/a/audio1_stream.m3u8?_HLS_msn=99", true, http.StatusBadRequest)
	expect("GET", "/live/a/gap.mp4", true, http.StatusNotFound)
	expect("HEAD", "/live/a/index.m3u8", true, http.StatusNotFound)

	live.lastRequest = time.Now().Add(-sessionIdle)
	expect("GET", "/live/a/audio1_stream.m3u8", true, http.StatusUnauthorized) // the session is over
	expect("GET", "/live/a/index.m3u8", true, http.StatusOK)
	expect("GET", "/live/a/audio1_stream.m3u8", true, http.StatusOK)

	paths.unpublish("live/a", live)
	expect("GET", "/live/a/audio1_stream.m3u8", true, http.StatusUnauthorized)
	expect("GET", "/live/a/index.m3u8", true, http.StatusNotFound)
}

func TestMediaIsCountedByWhoAskedForIt(t *testing.T) {
	handler := &hlsHandler{paths: &paths{muxers: map[string]*liveMuxer{}}, secret: "s"}
	get := func(target, agent string) *httptest.ResponseRecorder {
		request := httptest.NewRequest("GET", target, nil)
		request.Header.Set("Authorization", "Bearer s")
		request.Header.Set("User-Agent", agent)
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, request)
		return answer
	}
	for _, target := range []string{"/live/a/x.mp4", "/live/a/x.mp4?q", "/live/a/y.ts", "/live/a/index.m3u8"} {
		get(target, "relay")
	}
	get("/live/a/x.mp4", "somebody else")
	var got map[string]map[string]int
	if err := json.Unmarshal(get("/asked", "").Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]map[string]int{
		"relay":         {"/live/a/x.mp4": 2, "/live/a/y.ts": 1},
		"somebody else": {"/live/a/x.mp4": 1},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("counted %v, want %v", got, want)
	}
}

func TestSecondPublisherTakesThePlaceOfTheFirst(t *testing.T) {
	paths := &paths{muxers: map[string]*liveMuxer{}}
	disconnected := false
	first := &liveMuxer{muxer: audioMuxer(t), disconnect: func() { disconnected = true }}
	second := &liveMuxer{muxer: audioMuxer(t), disconnect: func() {}}
	paths.publish("live/a", first)
	paths.publish("live/a", second)
	paths.unpublish("live/a", first) // comes late, must not end the second
	muxer, live := paths.touch("live/a", true, time.Now(), sessionIdle)
	if !disconnected || !live || muxer != second.muxer {
		t.Errorf("disconnected %t, live %t, second %t", disconnected, live, muxer == second.muxer)
	}
}

func TestParameterSetsAreRepeatedAtKeyFrames(t *testing.T) {
	sps, pps, key, other := []byte{0x67, 1}, []byte{0x68, 2}, []byte{0x65, 3}, []byte{0x41, 4}
	newer := []byte{0x67, 9}
	sets := &parameterSets{sps: sps, pps: pps}
	for _, step := range []struct{ in, want [][]byte }{
		{[][]byte{{0x09, 0xf0}, key}, [][]byte{sps, pps, key}},
		{[][]byte{other}, [][]byte{other}},
		{[][]byte{newer, pps}, nil},
		{[][]byte{key}, [][]byte{newer, pps, key}},
	} {
		if got := sets.inBand(step.in); !reflect.DeepEqual(got, step.want) {
			t.Errorf("%v became %v, want %v", step.in, got, step.want)
		}
	}
}

func TestGateWithoutHook(t *testing.T) {
	from := &fakeAddr{}
	for _, try := range []struct {
		publish     bool
		path, query string
		want        bool
	}{
		{true, "live/a", "token=k", true},
		{true, "live/a", "token=wrong", false},
		{true, "live/a", "", false},
		{true, "other/a", "token=k", false},
		{true, "live/a/b", "token=k", false},
		{true, "live/", "token=k", false},
		{false, "live/a", "token=k", false},
	} {
		err := gate{token: "k"}.allows(try.publish, try.path, try.query, from)
		if (err == nil) != try.want {
			t.Errorf("%+v: %v", try, err)
		}
	}
}

func TestGateAsksTheHook(t *testing.T) {
	status := http.StatusNoContent
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
	}))
	defer hook.Close()
	gate := gate{authURL: hook.URL}
	if err := gate.allows(true, "live/a", "token=k", &fakeAddr{}); err != nil {
		t.Error(err)
	}
	status = http.StatusUnauthorized
	if err := gate.allows(true, "live/a", "token=k", &fakeAddr{}); err == nil {
		t.Error("the hook said no")
	}
}

type fakeAddr struct{}

func (*fakeAddr) Network() string { return "tcp" }
func (*fakeAddr) String() string  { return "127.0.0.1:1" }
