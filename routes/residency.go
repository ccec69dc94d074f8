package routes

import (
	"context"

	"lorikeet/adapters"
)

// load brings a version to the device.
//
//	@Summary		Load a version
//	@Description	Brings a version onto the device before the first request asks for it.
//	@ID				loadAdapter
//	@Tags			adapters
//	@Produce		json
//	@Param			name	path		string	true	"the adapter"
//	@Param			v		path		int		true	"the version"	minimum(1)
//	@Success		200		{object}	adapterVersion
//	@Failure		default	{object}	Problem
//	@Router			/adapters/{name}/versions/{v}/load [post]
func (a adapterRoutes) load(ctx context.Context, in versionRequest) (adapterVersion, error) {
	return a.move(ctx, in, func(ctx context.Context, v adapters.Version) error { return a.engine.Place(ctx, v, false) })
}

// unload takes a version off the device.
//
//	@Summary		Unload a version
//	@Description	Takes a version out of the memory of the device and of the host. It stays registered: the next request for it loads it again.
//	@ID				unloadAdapter
//	@Tags			adapters
//	@Produce		json
//	@Param			name	path		string	true	"the adapter"
//	@Param			v		path		int		true	"the version"	minimum(1)
//	@Success		200		{object}	adapterVersion
//	@Failure		default	{object}	Problem
//	@Router			/adapters/{name}/versions/{v}/unload [post]
func (a adapterRoutes) unload(ctx context.Context, in versionRequest) (adapterVersion, error) {
	return a.move(ctx, in, a.engine.Unload)
}

// pin keeps a version on the device.
//
//	@Summary		Pin a version
//	@Description	Loads a version and keeps it on the device, however little it is used.
//	@ID				pinAdapter
//	@Tags			adapters
//	@Produce		json
//	@Param			name	path		string	true	"the adapter"
//	@Param			v		path		int		true	"the version"	minimum(1)
//	@Success		200		{object}	adapterVersion
//	@Failure		default	{object}	Problem
//	@Router			/adapters/{name}/versions/{v}/pin [post]
func (a adapterRoutes) pin(ctx context.Context, in versionRequest) (adapterVersion, error) {
	return a.move(ctx, in, func(ctx context.Context, v adapters.Version) error { return a.engine.Place(ctx, v, true) })
}

// unpin lets a version go when its place is needed.
//
//	@Summary		Unpin a version
//	@Description	Lets a pinned version leave the device again when its place is needed.
//	@ID				unpinAdapter
//	@Tags			adapters
//	@Produce		json
//	@Param			name	path		string	true	"the adapter"
//	@Param			v		path		int		true	"the version"	minimum(1)
//	@Success		200		{object}	adapterVersion
//	@Failure		default	{object}	Problem
//	@Router			/adapters/{name}/versions/{v}/unpin [post]
func (a adapterRoutes) unpin(ctx context.Context, in versionRequest) (adapterVersion, error) {
	return a.move(ctx, in, a.engine.Unpin)
}

func (a adapterRoutes) move(ctx context.Context, in versionRequest, f func(context.Context, adapters.Version) error) (adapterVersion, error) {
	v, err := a.find(ctx, in)
	if err != nil {
		return adapterVersion{}, err
	}
	if err := f(ctx, v); err != nil {
		return adapterVersion{}, err
	}
	return a.view(ctx, v)
}
