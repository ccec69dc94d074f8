package routes

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"lorikeet/routes/dashboard"
)

// homeRequest is what a browser says it reads.
type homeRequest struct {
	Accept string `json:"-" header:"Accept" swaggerignore:"true"`
}

// homePage is the dashboard, or the address of the documentation.
type homePage struct{ browser bool }

// home is the dashboard where a browser asks, and leads others to the documentation.
//
//	@Summary		The dashboard
//	@Description	A page to try models, upload data sets, tune and watch. It needs nothing from elsewhere. Who does not ask for text/html is led to the documentation.
//	@ID				home
//	@Tags			service
//	@Produce		html
//	@Success		200	{string}	string	"the page"
//	@Success		302	"to /docs"
//	@Failure		default	{object}	Problem
//	@Router			/ [get]
func (s self) home(_ context.Context, in homeRequest) (homePage, error) {
	return homePage{browser: strings.Contains(in.Accept, "text/html")}, nil
}

func (p homePage) write(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Vary", "Accept")
	if !p.browser {
		return redirect("/docs").write(w, r)
	}
	return pageFile{dashboard.Page}.write(w, r)
}

// pageFileRequest names a file of the dashboard.
type pageFileRequest struct {
	File string `json:"-" path:"file"`
}

// pageFile is a file of the dashboard.
type pageFile struct{ name string }

// dashboardFile gives the files of the dashboard out.
//
//	@Summary		A file of the dashboard
//	@Description	The modules, the style and the icon of the page at /.
//	@ID				dashboardFile
//	@Tags			service
//	@Produce		text/javascript
//	@Produce		text/css
//	@Param			file	path		string	true	"the file"
//	@Success		200		{string}	string	"the file"
//	@Failure		default	{object}	Problem
//	@Router			/dashboard/{file} [get]
func (s self) dashboardFile(_ context.Context, in pageFileRequest) (pageFile, error) {
	if _, ok := dashboard.Open(in.File); !ok || in.File == dashboard.Page {
		return pageFile{}, fmt.Errorf("%w: the dashboard has no file %s", errNoRoute, brief(in.File))
	}
	return pageFile{in.File}, nil
}

func (p pageFile) write(w http.ResponseWriter, r *http.Request) error {
	f, ok := dashboard.Open(p.name)
	if !ok {
		return fmt.Errorf("the dashboard lacks %s", p.name)
	}
	h := w.Header()
	h.Set("Content-Type", f.Kind)
	h.Set("Content-Security-Policy", dashboard.Policy)
	h.Set("Cache-Control", "no-cache") // asked for again, answered 304 while it is the same
	h.Set("ETag", f.ETag)
	if strings.Contains(r.Header.Get("If-None-Match"), f.ETag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	h.Set("Content-Length", strconv.Itoa(len(f.Body)))
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(f.Body) // the caller may have left: no one to tell
	return nil
}
