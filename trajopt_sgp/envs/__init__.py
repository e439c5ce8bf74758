"""Plants as Gymnasium environments, each with its analytic torch model; importing this package registers them."""

from trajopt_sgp.envs.cartpole import CartPoleSwingUpEnv as CartPoleSwingUpEnv
from trajopt_sgp.envs.cartpole_dynamics import CartPoleDynamics as CartPoleDynamics
from trajopt_sgp.envs.cartpole_dynamics import cartpole_swing_up_cost as cartpole_swing_up_cost
from trajopt_sgp.envs.cartpole_equations import CartPoleParameters as CartPoleParameters
from trajopt_sgp.envs.cartpole_sampling import sample_transitions as sample_transitions
from trajopt_sgp.envs.pendulum import PendulumKeypointsEnv as PendulumKeypointsEnv
from trajopt_sgp.envs.pendulum_dynamics import PendulumDynamics as PendulumDynamics
from trajopt_sgp.envs.pendulum_dynamics import PendulumKeypointDynamics as PendulumKeypointDynamics
from trajopt_sgp.envs.pendulum_dynamics import pendulum_swing_up_cost as pendulum_swing_up_cost
from trajopt_sgp.envs.pendulum_equations import PendulumParameters as PendulumParameters
from trajopt_sgp.envs.pendulum_sampling import sample_pendulum_transitions as sample_pendulum_transitions
from trajopt_sgp.envs.registration import CARTPOLE_SWING_UP_ID as CARTPOLE_SWING_UP_ID
from trajopt_sgp.envs.registration import PENDULUM_KEYPOINTS_ID as PENDULUM_KEYPOINTS_ID
from trajopt_sgp.envs.registration import register_environments as register_environments

register_environments()
