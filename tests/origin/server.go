package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/bluenviron/gohlslib/v2"
)

// liveMuxer is one publisher's muxer with the one session that all relays share.
type liveMuxer struct {
	muxer      *gohlslib.Muxer
	disconnect func()

	lastRequest time.Time // of the session; zero: there is none
}

// paths holds who is live; a new publisher on a path takes the place of the old one.
type paths struct {
	mutex  sync.Mutex
	muxers map[string]*liveMuxer
}

func (p *paths) publish(name string, live *liveMuxer) {
	p.mutex.Lock()
	old := p.muxers[name]
	p.muxers[name] = live
	p.mutex.Unlock()
	if old != nil {
		old.muxer.Close()
		old.disconnect()
	}
}

func (p *paths) unpublish(name string, live *liveMuxer) {
	p.mutex.Lock()
	if p.muxers[name] == live {
		delete(p.muxers, name)
	}
	p.mutex.Unlock()
	live.muxer.Close()
}

// touch renews the session of a path, and starts one if the request may, and returns the muxer to ask;
// live is false when nobody publishes, a nil muxer means that there is no session.
func (p *paths) touch(name string, start bool, now time.Time, idle time.Duration) (muxer *gohlslib.Muxer, live bool) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	entry := p.muxers[name]
	if entry == nil {
		return nil, false
	}
	if !start && now.Sub(entry.lastRequest) >= idle {
		return nil, true
	}
	entry.lastRequest = now
	return entry.muxer, true
}

// askedFor counts the requests for media by who asked (User-Agent) and for what (path): "each object
// is fetched once" is told by the origin, not by the one who fetches.
type askedFor struct {
	mutex  sync.Mutex
	counts map[string]map[string]int
}

func (a *askedFor) note(agent, path string) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if a.counts == nil {
		a.counts = map[string]map[string]int{}
	}
	if a.counts[agent] == nil {
		a.counts[agent] = map[string]int{}
	}
	a.counts[agent][path]++
}

func (a *askedFor) report(w http.ResponseWriter) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = json.NewEncoder(w).Encode(a.counts)
}

// hlsHandler keeps the rules around the muxers: the secret, the session, the status codes.
type hlsHandler struct {
	paths       *paths
	secret      string
	sessionIdle time.Duration
	asked       askedFor
}

func (h *hlsHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Access-Control-Allow-Origin", "*")
	name, file := path.Dir(strings.TrimPrefix(r.URL.Path, "/")), path.Base(r.URL.Path)
	index := file == "index.m3u8"
	trusted := r.Header.Get("Authorization") == "Bearer "+h.secret
	known := false
	for _, suffix := range []string{".m3u8", ".mp4", ".ts"} {
		known = known || strings.HasSuffix(file, suffix)
	}
	switch {
	case r.URL.Path == "/asked" && trusted:
		h.asked.report(w)
		return
	case r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "":
		w.Header().Set("Access-Control-Allow-Methods", "OPTIONS, GET")
		w.Header().Set("Access-Control-Allow-Headers", "Authorization, Range")
		w.WriteHeader(http.StatusNoContent)
		return
	case r.Method != http.MethodGet || !known:
		notFound(w)
		return
	case index && !trusted && r.URL.Query().Get("cookieCheck") != "1":
		query := r.URL.Query()
		query.Set("cookieCheck", "1")
		http.SetCookie(w, &http.Cookie{
			Name: "cookieCheck", Value: "1", SameSite: http.SameSiteNoneMode,
			Secure: true, Partitioned: true, HttpOnly: true,
		})
		w.Header().Set("Location", r.URL.Path+"?"+query.Encode())
		w.WriteHeader(http.StatusFound)
		return
	case index && !trusted:
		w.Header().Set("WWW-Authenticate", `Basic realm="mediamtx"`)
		refuse(w, http.StatusUnauthorized, "authentication error")
		return
	case !trusted:
		refuse(w, http.StatusUnauthorized, "authentication error")
		return
	}
	if !strings.HasSuffix(file, ".m3u8") {
		h.asked.note(r.UserAgent(), r.URL.Path)
	}
	muxer, live := h.paths.touch(name, index, time.Now(), h.sessionIdle)
	switch {
	case index && !strings.HasPrefix(name, "live/"):
		refuse(w, http.StatusInternalServerError, fmt.Sprintf("path '%s' is not configured", name))
	case index && !live:
		refuse(w, http.StatusNotFound, fmt.Sprintf("no stream is available on path '%s'", name))
	case muxer == nil:
		refuse(w, http.StatusUnauthorized, "authentication error")
	default:
		answer := &answerWatch{ResponseWriter: w}
		muxer.Handle(answer, r)
		if !answer.begun { // the muxer is silent about names that it does not know
			notFound(w)
		}
	}
}

func refuse(w http.ResponseWriter, status int, reason string) {
	body, _ := json.Marshal(struct {
		Status string `json:"status"`
		Error  string `json:"error"`
	}{"error", reason})
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

func notFound(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(http.StatusNotFound)
	_, _ = w.Write([]byte("404 page not found"))
}

// answerWatch remembers whether anything was answered.
type answerWatch struct {
	http.ResponseWriter
	begun bool
}

func (a *answerWatch) WriteHeader(status int) {
	a.begun = true
	a.ResponseWriter.WriteHeader(status)
}

func (a *answerWatch) Write(body []byte) (int, error) {
	a.begun = true
	return a.ResponseWriter.Write(body)
}
