"""The checklist of endpoints that ThingsBoard's clients call (REST API, section 20): each is there, or known to be absent.

What each one answers is the business of the other tests; test_authorization.py holds that each of them has rows there.
"""

import pytest
import requests

PEOPLE = """
POST /api/auth/login
POST /api/auth/login/public
POST /api/auth/token
POST /api/auth/logout
POST /api/auth/changePassword
GET /api/auth/user
GET /api/noauth/activate
POST /api/noauth/activate
GET /api/noauth/userPasswordPolicy
GET /api/noauth/resetPassword
POST /api/noauth/resetPassword
POST /api/noauth/resetPasswordByEmail
POST /api/apiKey
GET /api/apiKeys/{}
PUT /api/apiKey/{}/description
PUT /api/apiKey/{}/enabled/{}
DELETE /api/apiKey/{}
POST /api/user
GET /api/user/{}
DELETE /api/user/{}
GET /api/user/{}/activationLink
GET /api/user/{}/token
GET /api/users
GET /api/users/info
GET /api/tenant/{}/users
GET /api/customer/{}/users
POST /api/tenant
GET /api/tenant/{}
DELETE /api/tenant/{}
GET /api/tenants
POST /api/tenantProfile
GET /api/tenantProfile/{}
DELETE /api/tenantProfile/{}
GET /api/tenantProfiles
POST /api/customer
GET /api/customer/{}
DELETE /api/customer/{}
GET /api/customers
GET /api/tenant/customers
"""

DEVICES = """
GET /api/deviceProfile/{}
POST /api/deviceProfile
DELETE /api/deviceProfile/{}
POST /api/deviceProfile/{}/default
GET /api/deviceProfiles
GET /api/deviceProfileInfos
GET /api/deviceProfileInfos/list
GET /api/deviceProfileInfo/default
GET /api/deviceProfileInfo/{}
GET /api/deviceProfile/names
GET /api/deviceProfile/devices/keys/timeseries
GET /api/deviceProfile/devices/keys/attributes
POST /api/device
GET /api/device/{}
DELETE /api/device/{}
GET /api/device/{}/credentials
POST /api/device/credentials
POST /api/device-with-credentials
GET /api/tenant/devices
GET /api/tenant/device
GET /api/tenant/deviceInfos
GET /api/device/info/{}
GET /api/customer/{}/devices
GET /api/customer/{}/deviceInfos
GET /api/devices
POST /api/customer/{}/device/{}
DELETE /api/customer/device/{}
POST /api/customer/public/device/{}
POST /api/owner/CUSTOMER/{}/DEVICE/{}
POST /api/owner/TENANT/{}/DEVICE/{}
GET /api/deviceInfos/all
GET /api/user/devices
GET /api/user/users
GET /api/customer/info/{}
POST /api/customer/device/{}/claim
DELETE /api/customer/device/{}/claim
GET /api/device/types
POST /api/device/bulk_import
GET /api/devices/count/{}/{}
GET /api/device-connectivity/{}
GET /api/device-connectivity/{}/certificate/download
"""

DATA = """
POST /api/plugins/telemetry/{}/{}/attributes/{}
POST /api/plugins/telemetry/{}/{}
POST /api/plugins/telemetry/{}/{}/{}
GET /api/plugins/telemetry/{}/{}/values/attributes
GET /api/plugins/telemetry/{}/{}/values/attributes/{}
GET /api/plugins/telemetry/{}/{}/keys/attributes
GET /api/plugins/telemetry/{}/{}/keys/attributes/{}
GET /api/plugins/telemetry/{}/{}/keys/timeseries
DELETE /api/plugins/telemetry/{}/{}
DELETE /api/plugins/telemetry/{}/{}/{}
GET /api/plugins/telemetry/{}/{}/values/timeseries
GET /api/plugins/telemetry/{}/{}/values/timeseries/history
POST /api/plugins/telemetry/{}/{}/timeseries/{}
POST /api/plugins/telemetry/{}/{}/timeseries/{}/{}
DELETE /api/plugins/telemetry/{}/{}/timeseries/delete
POST /api/rpc/oneway/{}
POST /api/rpc/twoway/{}
POST /api/plugins/rpc/oneway/{}
POST /api/plugins/rpc/twoway/{}
GET /api/rpc/persistent/{}
GET /api/rpc/persistent/device/{}
DELETE /api/rpc/persistent/{}
POST /api/otaPackage
POST /api/otaPackage/{}
GET /api/otaPackage/{}
GET /api/otaPackage/info/{}
GET /api/otaPackage/{}/download
DELETE /api/otaPackage/{}
GET /api/otaPackages
GET /api/otaPackages/{}/{}
GET /api/relations
GET /api/relations/info
GET /api/relation
POST /api/relation
POST /api/v2/relation
POST /api/entitiesQuery/find
POST /api/entitiesQuery/find/keys
POST /api/entitiesQuery/count
GET /api/ws/plugins/telemetry
GET /api/ws
"""

REST = """
GET /v3/api-docs
GET /api/system/info
GET /api/system/params
GET /api/uiSettings/helpBaseUrl
POST /api/noauth/oauth2Clients
GET /api/admin/settings/{}
POST /api/admin/settings
GET /api/admin/securitySettings
POST /api/admin/securitySettings
"""

# Answered by a path of its own with 404, or taken for an id and refused: section 18.2 and 20.4 leave them out.
ABSENT = ["/api/ruleChains", "/api/ruleChain/metadata", "/api/dashboard", "/api/audit/logs", "/api/alarms",
          "/api/admin/jwtSettings", "/api/admin/featuresInfo", "/api/admin/updates", "/api/assetProfiles"]


@pytest.fixture(scope="module")
def described(subject):
    """Every operation of the OpenAPI document, without the names of its parameters."""
    def bare(path):
        return "/".join("{}" if part.startswith("{") else part for part in path.split("/"))
    paths = requests.get(f"{subject.url}/v3/api-docs", timeout=30).json()["paths"]
    return {f"{method.upper()} {bare(path)}" for path, item in paths.items() for method in item}


@pytest.mark.parametrize("section", [PEOPLE, DEVICES, DATA, REST], ids=["20.1", "20.2", "20.3", "20.4"])
def test_what_clients_call_is_there(described, section):
    assert sorted(set(section.split("\n")) - {""} - described) == []


@pytest.mark.parametrize("path", ["/actuator/info", "/actuator/health", "/actuator/health/liveness",
                                  "/actuator/health/readiness", "/actuator/prometheus", "/swagger-ui.html"])
def test_what_is_beside_the_api_is_there(subject, path):
    answer = requests.get(subject.url + path, allow_redirects=False, timeout=30)
    assert answer.status_code in (200, 302), answer.text


@pytest.mark.parametrize("path", ["telemetry", "attributes", "claim", "rpc", "rpc/1"])
def test_the_device_api_is_there(subject, device, path):
    """20.3: an empty body is no payload, or a claim; the path is known in any case."""
    answer = requests.post(f"{subject.url}/api/v1/{device.token}/{path}", json={}, timeout=30)
    assert answer.status_code in (200, 400), answer.status_code


@pytest.mark.parametrize("path", ABSENT)
def test_what_is_absent_says_so(sysadmin, path):
    assert sysadmin.get(path).status_code == 404
