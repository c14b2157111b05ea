// Everything public in one include.
#pragma once

#include "nestor/database.h"
#include "nestor/document.h"
#include "nestor/embedder.h"
#include "nestor/filter.h"
#include "nestor/maintenance.h"
#include "nestor/options.h"
#include "nestor/query.h"
#include "nestor/recall.h"
#include "nestor/reembed.h"
#include "nestor/search.h"
#include "nestor/status.h"
#include "nestor/transfer.h"
#include "nestor/version.h"
