package sink

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

func start(t *testing.T) *Sink {
	t.Helper()
	s, err := Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func post(t *testing.T, url, body string) int {
	t.Helper()
	resp, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

func TestKeepsAndShows(t *testing.T) {
	s := start(t)
	post(t, s.URL+"/team", `{"text":"one\ntwo \u001b[31mred","username":"mayday"}`)
	post(t, s.URL+"/pages/", `plain words`)
	got := s.Messages()
	if len(got) != 2 || got[0].Channel != "team" || got[0].Text != "one\ntwo red" || got[1].Channel != "pages" || got[1].Text != "plain words" {
		t.Fatalf("messages: %+v", got)
	}
	resp, err := http.Get(s.URL + "/?format=json")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var listed []Message
	if err := json.NewDecoder(resp.Body).Decode(&listed); err != nil || len(listed) != 2 || listed[1].Text != "plain words" {
		t.Errorf("listed %+v, %v", listed, err)
	}
	resp, err = http.Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, _ := io.ReadAll(resp.Body); !strings.Contains(string(b), "  team\n    one\n    two red\n") {
		t.Errorf("shown: %q", b)
	}
}

func TestBounds(t *testing.T) {
	s := start(t)
	if code := post(t, s.URL+"/team", strings.Repeat("x", largest+1)); code != http.StatusRequestEntityTooLarge {
		t.Errorf("a huge message: %d", code)
	}
	for i := range keep + 5 {
		post(t, s.URL+"/team", fmt.Sprint(i))
	}
	if got := s.Messages(); len(got) != keep || got[0].Text != "5" {
		t.Errorf("%d kept, the first is %q", len(got), got[0].Text)
	}
}
