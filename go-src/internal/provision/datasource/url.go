package datasource

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"

	"coreos/internal/cli/redact"
)

// URL is user-data on an HTTP server. It uses the proxies in HTTPS_PROXY, HTTP_PROXY and
// NO_PROXY, except for link-local addresses. It follows redirects to other servers, but not
// from HTTPS to HTTP. After 404 the server is asked again, since the configuration may be
// created after the machine.
func URL(address string) Source {
	return source{"url " + redact.URL(address), func(ctx context.Context) (*Data, error) {
		text, err := download(ctx, address)
		if err != nil {
			return nil, err
		}
		return &Data{UserData: text}, nil
	}}
}

// download returns user-data by its URL.
func download(ctx context.Context, address string) ([]byte, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%w: %q is not a URL such as https://config.example.com/user-data", ErrInvalid, redact.URL(address))
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, redact.WithoutURL(err))
	}
	request.Header.Set("User-Agent", "coreos-cloudinit")
	client := &http.Client{Transport: transport(proxy), Timeout: downloadTime, CheckRedirect: noDowngrade}
	text, _, err := roundTrip(client, request, redact.URL(address), MaxUserData)
	return text, err
}

func proxy(request *http.Request) (*url.URL, error) {
	if ip, err := netip.ParseAddr(request.URL.Hostname()); err == nil && ip.IsLinkLocalUnicast() {
		return nil, nil
	}
	return redact.Proxy(http.ProxyFromEnvironment)(request)
}

func noDowngrade(request *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("%w: more than %d redirects", ErrInvalid, maxRedirects)
	}
	if via[0].URL.Scheme == "https" && request.URL.Scheme != "https" {
		return errors.Join(ErrInvalid, errors.New("it redirects from HTTPS to HTTP"))
	}
	return nil
}
